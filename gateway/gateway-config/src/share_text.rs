//! Shares as configuration writes them: `5%`, `0.1%`.

use serde_json::{Value, json};

use crate::diagnostic::quoted;
use crate::read::{Problem, Scalar};
use crate::values::mismatch;

/// A share in hundredths of a percent, within bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Share<const MIN: u32, const MAX: u32>(pub(crate) u32);

impl<const MIN: u32, const MAX: u32> Scalar for Share<MIN, MAX> {
    fn expects() -> String {
        format!("a share from {} to {}", show(MIN), show(MAX))
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let Some(number) = text.strip_suffix('%') else {
            let is_number =
                !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let help = if is_number {
                format!("a share has a sign: {}", quoted(&format!("{text}%")))
            } else {
                help()
            };
            return Err(mismatch(Some(help)));
        };
        match hundredths(number.trim_end()) {
            Some(share) if (MIN..=MAX).contains(&share) => Ok(Self(share)),
            Some(_) => Err(mismatch(None)),
            None => Err(mismatch(Some(help()))),
        }
    }

    fn schema() -> Value {
        json!({"type": "string", "pattern": "^[0-9]{1,3}(\\.[0-9]{1,2})? ?%$", "examples": ["5%", "0.1%"]})
    }
}

fn help() -> String {
    "shares are written `5%` or `0.1%`, with two decimals at most".to_owned()
}

fn show(hundredths: u32) -> String {
    match (hundredths / 100, hundredths % 100) {
        (whole, 0) => format!("{whole}%"),
        (whole, rest) if rest % 10 == 0 => format!("{whole}.{}%", rest / 10),
        (whole, rest) => format!("{whole}.{rest:02}%"),
    }
}

fn hundredths(number: &str) -> Option<u32> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(decimals) || whole.len() > 3 || decimals.len() > 2 {
        return None;
    }
    let decimals =
        if decimals.len() == 1 { decimals.parse::<u32>().ok()? * 10 } else { decimals.parse().ok()? };
    Some(whole.parse::<u32>().ok()? * 100 + decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Any = Share<1, 10_000>;

    #[test]
    fn shares_are_read_to_the_hundredth_of_a_percent() {
        let read = |text: &str| Any::parse(text).ok().map(|Share(share)| share);
        assert_eq!(
            ["5%", "0.1%", "0.01%", "12.5 %", "100%"].map(read),
            [Some(500), Some(10), Some(1), Some(1_250), Some(10_000)]
        );
        for wrong in ["", "%", "5", "0%", "101%", "1.234%", ".5%", "1.%", "-1%", "1000%", "5 percent"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(Share::<1, 5_050>::expects(), "a share from 0.01% to 50.5%");
    }
}
