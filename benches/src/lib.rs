//! See `README.md`: each benchmark states its question.
