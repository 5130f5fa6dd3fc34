//! Times as the database holds them: UTC text `YYYY-MM-DD HH:MM:SS.ffffff`, which sorts as it
//! reads.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;

/// `at` as UTC text. A clock that stands before 1970 reads as 1970.
pub fn utc(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / DAY, since.as_secs() % DAY);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let micros = since.subsec_micros();
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}")
}

/// A time as the live registry has it: microseconds since 1970 (UTC).
pub fn from_microseconds(since: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(since)
}

/// Year, month and day of a day counted from 1970-01-01: Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>), where years begin in March, so that
/// the leap day is a year's last, and repeat in eras of 400.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01 to 1970-01-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_time_reads_as_utc_text_with_microseconds() {
        let at = UNIX_EPOCH + Duration::new(1_709_210_096, 7_000_999);
        assert_eq!(utc(at), "2024-02-29 12:34:56.007000");
        assert_eq!(utc(UNIX_EPOCH), "1970-01-01 00:00:00.000000");
    }

    #[test]
    fn a_clock_before_1970_reads_as_1970() {
        assert_eq!(utc(UNIX_EPOCH - Duration::from_secs(5)), utc(UNIX_EPOCH));
    }

    proptest! {
        #[test]
        fn our_calendar_is_that_of_sqlite(secs in 0..253_402_300_800u64) {
            let db = Connection::open_in_memory().unwrap();
            let sql = "SELECT strftime('%Y-%m-%d %H:%M:%S.000000', ?1, 'unixepoch')";
            let theirs: String =
                db.query_row(sql, [i64::try_from(secs).unwrap()], |row| row.get(0)).unwrap();
            prop_assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(secs)), theirs);
        }
    }
}
