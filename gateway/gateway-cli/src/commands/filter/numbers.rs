//! Numbers and columns for people.

use serde_json::Value;

use crate::output;

/// A text, or `-` where there is none.
pub(crate) fn word(value: &Value) -> String {
    value
        .as_str()
        .map_or("-".to_owned(), |text| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}

/// A number, or `-` where there is none.
pub(crate) fn number(value: &Value) -> String {
    value.as_u64().map_or("-".to_owned(), |number| number.to_string())
}

pub(crate) fn bytes(bytes: u64) -> String {
    output::size(usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// A time in the unit that suits it.
pub(crate) fn nanoseconds(nanoseconds: u64) -> String {
    let amount = nanoseconds as f64;
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{:.1} us", amount / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", amount / 1e6),
        _ => format!("{:.1} s", amount / 1e9),
    }
}

/// Columns as wide as what is in them.
pub(crate) fn table(rows: Vec<Vec<String>>) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += &format!("{cell:<width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_suits_them() {
        for (amount, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_500, "1.5 us"),
            (10_000_000, "10.0 ms"),
            (61_000_000_000, "61.0 s"),
        ] {
            assert_eq!(nanoseconds(amount), text);
        }
    }

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(
            table(vec![row(["a", "long one"]), row(["longer", "b"])]),
            "a       long one\nlonger  b\n"
        );
        assert_eq!(table(Vec::new()), "");
    }
}
