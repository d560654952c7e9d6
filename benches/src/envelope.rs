//! What an envelope says, without taking it apart.

/// The number behind `"item_count":` of an envelope's item header.
pub(crate) fn item_count(envelope: &[u8]) -> u64 {
    const KEY: &[u8] = b"\"item_count\":";
    let digits = envelope.windows(KEY.len()).position(|window| window == KEY).map(|at| &envelope[at + KEY.len()..]);
    digits
        .unwrap_or_default()
        .iter()
        .map_while(|b| (*b as char).to_digit(10))
        .fold(0, |n, digit| n * 10 + u64::from(digit))
}

/// The text behind the first `"key":"`, of which nothing is escaped.
pub(crate) fn text_behind<'t>(json: &'t str, key: &str) -> Option<&'t str> {
    let (_, behind) = json.split_once(&format!("\"{key}\":\""))?;
    behind.split('"').next()
}
