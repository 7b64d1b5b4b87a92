//! `abi-kit score --start COMMAND [--record FILE] [FILTER]` runs every case through a proxy that COMMAND starts;
//! `abi-kit matrix` writes `docs/proxy-wasm.md` from a run of our own and from what was recorded of others;
//! `abi-kit bytes --start COMMAND FILTER` prints what went over the wire; `abi-kit seeds` writes the seeds of the fuzz targets that are made by hand.

use std::process::ExitCode;

use abi_kit::over_port::Command;
use abi_kit::{Case, Mode, Verdict, bytes, cases, hostile, matrix};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["bytes", "--start", start, filter] => {
            let command = Command::new(start);
            for case in cases().iter().filter(|case| case.id().contains(filter) && case.runs_in(Mode::Other))
            {
                print!("{}", bytes::seen(&command, case));
            }
            ExitCode::SUCCESS
        }
        ["seeds"] => seeds(),
        ["matrix"] => write(&matrix::path(), &matrix::text(&matrix::run())),
        ["score", "--start", start, rest @ ..] => {
            let (file, rest) = match rest {
                ["--record", file, rest @ ..] => (Some(*file), rest),
                rest => (None, rest),
            };
            let filter = rest.first().copied().unwrap_or_default();
            let results = score(&Command::new(start), filter);
            match file {
                Some(file) => write(std::path::Path::new(file), &matrix::recording(&results)),
                None => ExitCode::SUCCESS,
            }
        }
        _ => {
            eprintln!(
                "usage: abi-kit score --start COMMAND [--record FILE] [FILTER] | abi-kit bytes --start COMMAND FILTER | abi-kit matrix | abi-kit seeds"
            );
            ExitCode::from(2)
        }
    }
}

fn score(command: &Command, filter: &str) -> Vec<(Case, Verdict)> {
    let mut results = Vec::new();
    for case in cases().into_iter().filter(|case| case.id().contains(filter)) {
        let verdict = if case.runs_in(Mode::Other) { judged(command, &case) } else { Verdict::Skipped };
        let how = if let Verdict::Fails(how) = &verdict { format!(": {how}") } else { String::new() };
        println!("{:8} {}{how}", verdict.word(), case.id());
        results.push((case, verdict));
    }
    let of = |wanted: &Verdict| results.iter().filter(|(_, verdict)| verdict == wanted).count();
    let (holds, skipped) = (of(&Verdict::Holds), of(&Verdict::Skipped));
    println!("{holds} of {} hold, {skipped} cannot be run this way", results.len() - skipped);
    results
}

/// What two runs agree on: a busy machine makes a proxy late, which is not what the case is about.
fn judged(command: &Command, case: &Case) -> Verdict {
    let first = command.run(case);
    if first == Verdict::Holds {
        return first;
    }
    let second = command.run(case);
    if second == Verdict::Holds { command.run(case) } else { second }
}

fn seeds() -> ExitCode {
    let all = hostile::seeds::written();
    let written = all.into_iter().all(|(target, name, bytes)| {
        let folder = hostile::seeds::folder(target);
        let written =
            std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join(name), bytes));
        written.inspect_err(|error| eprintln!("{}: {error}", folder.display())).is_ok()
    });
    if written { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn write(path: &std::path::Path, text: &str) -> ExitCode {
    match std::fs::write(path, text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
