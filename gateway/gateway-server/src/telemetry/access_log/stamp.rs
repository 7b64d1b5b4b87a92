//! RFC 3339 timestamps in UTC with milliseconds, as Envoy's `%START_TIME%` writes them, and times in other formats.

use std::time::SystemTime;

use gateway_config::TimePiece;

/// Bytes up to the second: `2026-11-20T23:46:05`.
const SECOND_BYTES: usize = 19;

const SECONDS_PER_DAY: u64 = 86_400;

/// Writes timestamps; the part up to the second is kept, as most lines fall into the second of the line before.
pub(super) struct Stamp {
    second: u64,
    text: [u8; SECOND_BYTES],
}

impl Stamp {
    pub(super) fn new() -> Self {
        Self { second: 0, text: *b"1970-01-01T00:00:00" }
    }

    pub(super) fn write(&mut self, unix_ns: u64, out: &mut Vec<u8>) {
        let second = unix_ns / 1_000_000_000;
        if second != self.second {
            self.second = second;
            self.text = format_second(second);
        }
        let millis = unix_ns / 1_000_000 % 1_000;
        out.extend_from_slice(&self.text);
        out.push(b'.');
        out.extend_from_slice(&[digit(millis / 100), digit(millis / 10), digit(millis), b'Z']);
    }
}

/// A time in UTC: `2026-11-20T23:46:05.042Z`.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut text = Vec::with_capacity(SECOND_BYTES + 5);
    Stamp::new().write(u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX), &mut text);
    text.into_iter().map(char::from).collect()
}

const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A time in UTC as `strftime` writes it in English.
pub(super) fn write_format(format: &[TimePiece], unix_ns: u64, out: &mut Vec<u8>) {
    for piece in format {
        match piece {
            TimePiece::Text(text) => out.extend_from_slice(text.as_bytes()),
            TimePiece::Fraction(digits) => {
                let fraction = format!("{:09}", unix_ns % 1_000_000_000);
                out.extend_from_slice(&fraction.as_bytes()[..(*digits).min(fraction.len())]);
            }
            TimePiece::Letter(letter) => write_letter(*letter, unix_ns / 1_000_000_000, out),
        }
    }
}

fn write_letter(letter: char, unix_second: u64, out: &mut Vec<u8>) {
    let days = unix_second / SECONDS_PER_DAY;
    let (year, month, day) = civil_date(days);
    let (hour, minute, second) = (unix_second / 3_600 % 24, unix_second / 60 % 60, unix_second % 60);
    let weekday = DAYS[(days % 7) as usize];
    let month_name = MONTHS[(month as usize - 1).min(MONTHS.len() - 1)];
    let text = match letter {
        'a' => weekday[..3].to_owned(),
        'A' => weekday.to_owned(),
        'b' => month_name[..3].to_owned(),
        'B' => month_name.to_owned(),
        'd' => format!("{day:02}"),
        'e' => format!("{day:2}"),
        'D' => format!("{month:02}/{day:02}/{:02}", year % 100),
        'F' => format!("{year:04}-{month:02}-{day:02}"),
        'H' => format!("{hour:02}"),
        'I' => format!("{:02}", (hour + 11) % 12 + 1),
        'j' => format!("{:03}", days - first_day(year) + 1),
        'm' => format!("{month:02}"),
        'M' => format!("{minute:02}"),
        'p' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
        'R' => format!("{hour:02}:{minute:02}"),
        's' => unix_second.to_string(),
        'S' => format!("{second:02}"),
        'T' => format!("{hour:02}:{minute:02}:{second:02}"),
        'y' => format!("{:02}", year % 100),
        'Y' => format!("{year:04}"),
        'z' => "+0000".to_owned(),
        'Z' => "UTC".to_owned(),
        // The configuration has no other.
        other => format!("%{other}"),
    };
    out.extend_from_slice(text.as_bytes());
}

/// Days from the epoch to the first of January of a year from 1970 on.
fn first_day(year: u64) -> u64 {
    let before = year - 1;
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leap_days(before) - leap_days(1969)
}

fn format_second(unix_second: u64) -> [u8; SECOND_BYTES] {
    let (year, month, day) = civil_date(unix_second / SECONDS_PER_DAY);
    let second = unix_second % SECONDS_PER_DAY;
    let mut text = *b"0000-00-00T00:00:00";
    put(&mut text[0..4], year);
    put(&mut text[5..7], month);
    put(&mut text[8..10], day);
    put(&mut text[11..13], second / 3_600);
    put(&mut text[14..16], second / 60 % 60);
    put(&mut text[17..19], second % 60);
    text
}

/// Year, month and day in the Gregorian calendar. Counting years from March puts the leap day at the end of a year, so
/// that the days of all months before are a linear formula.
fn civil_date(days_since_1970: u64) -> (u64, u64, u64) {
    const DAYS_FROM_YEAR_0_MARCH_TO_1970: u64 = 719_468;
    const DAYS_PER_400_YEARS: u64 = 146_097;
    let days = days_since_1970 + DAYS_FROM_YEAR_0_MARCH_TO_1970;
    let day_of_era = days % DAYS_PER_400_YEARS;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = days / DAYS_PER_400_YEARS * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

fn put(field: &mut [u8], mut number: u64) {
    for place in field.iter_mut().rev() {
        *place = digit(number);
        number /= 10;
    }
}

/// The last decimal digit.
fn digit(number: u64) -> u8 {
    b"0123456789"[(number % 10) as usize]
}

#[cfg(test)]
#[path = "stamp_tests.rs"]
mod tests;
