;;; cites Envoy 1.40, recorded

;;; case Rust, proxy-wasm 0.1 of crates.io (ABI 0.1.0): headers, an answer of its own, a callout
;;; filter rust-0-1
;;; config of the day
;;; send GET /
;;; client 200
;;; client-header x-filter: of the day
;;; origin-header x-filter-seen: of the day
;;; send GET /answer
;;; client 418
;;; client-body short and stout
;;; client-header x-filter: of the day
;;; origin-none
;;; send GET /ask
;;; client 200
;;; origin-header x-answer: 200

;;; case Rust, proxy-wasm 0.2 of crates.io (ABI 0.2.1): headers, an answer of its own, a callout
;;; filter rust-0-2
;;; config of the day
;;; send GET /
;;; client 200
;;; client-header x-filter: of the day
;;; origin-header x-filter-seen: of the day
;;; send GET /answer
;;; client 418
;;; client-body short and stout
;;; client-header x-filter: of the day
;;; origin-none
;;; send GET /ask
;;; client 200
;;; origin-header x-answer: 200

;;; case AssemblyScript, proxy-runtime 0.1.8 of npm (ABI 0.2.0): headers, an answer of its own, a callout
;;; filter assemblyscript
;;; config of the day
;;; send GET /
;;; client 200
;;; client-header x-filter: of the day
;;; origin-header x-filter-seen: of the day
;;; send GET /answer
;;; client 418
;;; client-body short and stout
;;; client-header x-filter: of the day
;;; origin-none
;;; send GET /ask
;;; client 200
;;; origin-header x-answer: 200

;;; case Go 1.27, a WASI reactor without an SDK (ABI 0.2.1): headers, an answer of its own, a callout
;;; filter go
;;; config of the day
;;; send GET /
;;; client 200
;;; client-header x-filter: of the day
;;; origin-header x-filter-seen: of the day
;;; send GET /answer
;;; client 418
;;; client-body short and stout
;;; client-header x-filter: of the day
;;; origin-none
;;; send GET /ask
;;; client 200
;;; origin-header x-answer: 200

;;; case C++, clang with libc++ without an SDK (ABI 0.2.1): headers, an answer of its own, a callout
;;; filter cpp
;;; config of the day
;;; send GET /
;;; client 200
;;; client-header x-filter: of the day
;;; origin-header x-filter-seen: of the day
;;; send GET /answer
;;; client 418
;;; client-body short and stout
;;; client-header x-filter: of the day
;;; origin-none
;;; send GET /ask
;;; client 200
;;; origin-header x-answer: 200
