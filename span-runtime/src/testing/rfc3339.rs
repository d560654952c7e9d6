//! RFC 3339 timestamps, read strictly.

/// Seconds since 1970 of a timestamp such as `2024-06-01T12:30:00.25Z`; `None` if it is not one.
///
/// A `T` or a blank may stand between date and time, as RFC 3339 section 5.6 allows.
pub(super) fn seconds(text: &str) -> Option<f64> {
    // Every index below is a byte offset; without this check one could fall inside a character.
    if !text.is_ascii() || text.len() < 20 {
        return None;
    }
    let (date_time, rest) = text.split_at(19);
    let shape = b"0000-00-00T00:00:00";
    let fits = date_time.bytes().zip(shape).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' '),
        other => byte == *other,
    });
    if !fits {
        return None;
    }
    let field = |from: usize, to: usize| date_time[from..to].parse::<i64>().ok();
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    // 60 is a leap second.
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            (format!("0.{}", &rest[..digits]).parse::<f64>().ok().filter(|_| digits > 0)?, &rest[digits..])
        }
        None => (0.0, rest),
    };
    let whole = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    // At most 9999 years of seconds: exact in an f64.
    Some((whole - offset(zone)?) as f64 + fraction)
}

/// The zone's distance from UTC in seconds.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|_| digits)
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01, by counting years from March so that the leap day comes last
/// (Howard Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn reads_the_forms_of_the_rfc() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0.0),
            ("2024-06-01T12:30:00Z", 1_717_245_000.0),
            ("2024-06-01T12:30:00.25Z", 1_717_245_000.25),
            ("2024-06-01t14:30:00+02:00", 1_717_245_000.0),
            ("2024-06-01 07:00:00-05:30", 1_717_245_000.0),
            ("2000-02-29T00:00:00Z", 951_782_400.0),
            ("1969-12-31T23:59:59z", -1.0),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "2024-06-01",
            "2024-06-01T12:30:00",
            "2024-06-01T12:30:00.Z",
            "2024-06-01T12:30Z",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-06-01T24:00:00Z",
            "2024-06-01T12:30:00+0200",
            "2024-06-01T12:30:00+2:00",
            "1717245000",
            "+024-06-01T12:30:00Z",
            "2024-06-01T12:30:00Zé",
            "2024-06-01T12:30:00++1:00",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
