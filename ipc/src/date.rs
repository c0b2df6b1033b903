//! Dates for people, without a clock and without a time zone.

/// Seconds since 1970 as date and time, in UTC: `2026-11-22T02:16:01Z`.
#[must_use]
pub fn stamp(seconds: u64) -> String {
    let Date { year, month, day, hour, minute, second, .. } = Date::of(seconds);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The same as the C library words it, which keepalived does: `Sun Nov 22 02:16:01 2026`.
#[must_use]
pub fn worded(seconds: u64) -> String {
    let Date { year, month, day, hour, minute, second, weekday } = Date::of(seconds);
    let (weekday, month) = (name(&DAYS, weekday), name(&MONTHS, month.saturating_sub(1)));
    format!("{weekday} {month} {day:2} {hour:02}:{minute:02}:{second:02} {year}")
}

struct Date {
    year: u64,
    /// 1 to 12.
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    /// 0 is Thursday, as the first day of 1970 was.
    weekday: u64,
}

impl Date {
    /// Days by the calendar's 400-year cycle, which begins with March.
    fn of(seconds: u64) -> Self {
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
            weekday: days % 7,
        }
    }
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn name(names: &[&'static str], number: u64) -> &'static str {
    usize::try_from(number).ok().and_then(|number| names.get(number)).copied().unwrap_or("???")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_the_date_in_utc() {
        assert_eq!(stamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(stamp(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(stamp(951_868_800), "2000-03-01T00:00:00Z");
        assert_eq!(stamp(1_795_313_761), "2026-11-22T02:16:01Z");
    }

    #[test]
    fn a_date_in_words_is_that_of_the_c_library() {
        assert_eq!(worded(0), "Thu Jan  1 00:00:00 1970");
        assert_eq!(worded(951_782_399), "Mon Feb 28 23:59:59 2000");
        assert_eq!(worded(951_868_800), "Wed Mar  1 00:00:00 2000");
        assert_eq!(worded(1_795_313_761), "Sun Nov 22 02:16:01 2026");
        assert_eq!(worded(1_798_761_599), "Thu Dec 31 23:59:59 2026");
    }
}
