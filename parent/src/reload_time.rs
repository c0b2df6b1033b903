//! When a reload is due that a file asks for (`reload_time_file`).
//!
//! Pure: text, wall clock and the offset of local time go in. `HH:MM:SS` is today or tomorrow, `YY-MM-DD HH:MM:SS` and
//! `YYYY-MM-DD HH:MM:SS` one moment, a trailing `Z` means UTC.

/// A reload that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Seconds since 1970.
    pub at: u64,
    /// It is a time of day.
    pub daily: bool,
}

/// When `text` asks for a reload, seen from `now` in seconds since 1970; `None` for a moment that has passed or can't be
/// read. `offset` says by how many seconds local time is ahead of UTC at a moment.
#[must_use]
pub fn due(text: &str, now: u64, offset: impl Fn(u64) -> i64) -> Option<Due> {
    let text = text.trim();
    let (text, utc) = text.strip_suffix('Z').map_or((text, false), |rest| (rest.trim_end(), true));
    let ahead = |moment: u64| if utc { 0 } else { offset(moment) };
    let (date, time) = match text.split_once(char::is_whitespace) {
        Some((date, time)) => (Some(date), time.trim_start()),
        None => (None, text),
    };
    let second = time_of_day(time)?;
    let Some(date) = date else {
        let local = now.checked_add_signed(ahead(now))?;
        let today = local - local % 86_400 + second;
        let local = if today > local { today } else { today + 86_400 };
        return Some(Due { at: local.checked_add_signed(-ahead(now))?, daily: true });
    };
    let local = days(date)?.checked_mul(86_400)?.checked_add(second)?;
    let at = local.checked_add_signed(-ahead(local))?;
    (at > now).then_some(Due { at, daily: false })
}

/// Seconds since midnight.
fn time_of_day(text: &str) -> Option<u64> {
    let mut parts = text.split(':').map(|part| number(part, 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    (parts.next().is_none() && hour < 24 && minute < 60 && second < 60)
        .then_some(hour * 3_600 + minute * 60 + second)
}

/// Days since 1970-01-01 of a date of this century or one with all digits.
fn days(text: &str) -> Option<u64> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let year = if year.len() == 2 { 2_000 + number(year, 2)? } else { number(year, 4)? };
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1970..=9999).contains(&year) {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let index = usize::try_from(month - 1).ok()?;
    if day == 0 || day > *lengths.get(index)? {
        return None;
    }
    let before = year - 1;
    let to_year = before * 365 + before / 4 - before / 100 + before / 400;
    let to_month: u64 = lengths.iter().take(index).sum();
    // 719 162 days lie before 1970.
    (to_year + to_month + day - 1).checked_sub(719_162)
}

fn number(text: &str, digits: usize) -> Option<u64> {
    (text.len() == digits && text.bytes().all(|letter| letter.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    // 2026-11-22 02:16:01 UTC.
    const NOW: u64 = 1_795_313_761;

    fn utc(text: &str) -> Option<Due> {
        due(text, NOW, |_| 0)
    }

    #[test]
    fn a_time_of_day_is_today_or_tomorrow() {
        assert_eq!(utc("02:16:02"), Some(Due { at: NOW + 1, daily: true }));
        assert_eq!(utc("02:16:01\n"), Some(Due { at: NOW + 86_400, daily: true }));
        assert_eq!(utc("00:00:00"), Some(Due { at: 1_795_392_000, daily: true }));
    }

    #[test]
    fn local_time_is_an_hour_ahead_and_z_means_utc() {
        let ahead = |text| due(text, NOW, |_| 3_600).map(|due| due.at);
        assert_eq!(ahead("03:16:11"), Some(NOW + 10));
        assert_eq!(ahead("02:16:11Z"), Some(NOW + 10));
        assert_eq!(ahead("2026-11-22 03:16:11"), Some(NOW + 10));
    }

    #[test]
    fn a_date_has_two_or_four_digits_of_year_and_is_in_the_future() {
        let due = Some(Due { at: 1_835_478_671, daily: false });
        assert_eq!(utc("28-02-29 23:11:11"), due);
        assert_eq!(utc("2028-02-29 23:11:11 Z"), due);
        assert_eq!(utc("2026-11-22 02:16:01"), None);
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in
            ["", "2:16:02", "24:00:00", "02:60:00", "2027-02-29 00:00:00", "2027-13-01 00:00:00", "x Z"]
        {
            assert_eq!(utc(text), None, "{text}");
        }
    }
}
