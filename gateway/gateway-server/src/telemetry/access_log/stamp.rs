//! RFC 3339 timestamps in UTC with milliseconds, as Envoy's `%START_TIME%` writes them.

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
