//! Client reports: what was lost, by reason. (behaviour 49)

use crate::client::LossCounts;
use crate::clock::UnixNanos;
use crate::protocol::json;

/// A client report as an item of an envelope, header and payload and the newline after.
pub(crate) fn write_report(counts: &LossCounts, time: UnixNanos) -> Vec<u8> {
    let mut payload = br#"{"timestamp":"#.to_vec();
    json::seconds(&mut payload, time);
    payload.extend_from_slice(br#","discarded_events":"#);
    let counts: Vec<_> = counts.iter().collect();
    json::array(&mut payload, &counts, |buffer, (reason, quantity)| {
        buffer.extend_from_slice(br#"{"reason":"#);
        json::string(buffer, reason.as_str());
        buffer.extend_from_slice(br#","category":"span","quantity":"#);
        json::unsigned(buffer, *quantity);
        buffer.push(b'}');
    });
    payload.push(b'}');
    let mut item = br#"{"type":"client_report","length":"#.to_vec();
    json::unsigned(&mut item, payload.len() as u64);
    item.extend_from_slice(b"}\n");
    item.extend_from_slice(&payload);
    item.push(b'\n');
    item
}
