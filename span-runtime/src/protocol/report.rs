//! Client reports: what was lost, by reason. (behaviour 49)

use crate::client::Report;
use crate::clock::UnixNanos;
use crate::protocol::json;

/// A client report as an item of an envelope, header and payload and the newline after.
pub(crate) fn write_report(report: &Report, time: UnixNanos) -> Vec<u8> {
    let mut payload = br#"{"timestamp":"#.to_vec();
    json::seconds(&mut payload, time);
    payload.extend_from_slice(br#","discarded_events":"#);
    let each = |(category, counts)| crate::client::LossCounts::iter(counts).map(move |count| (category, count));
    let counts: Vec<(&str, _)> = report.by_category().flat_map(each).collect();
    json::array(&mut payload, &counts, |buffer, (category, (reason, quantity))| {
        buffer.extend_from_slice(br#"{"reason":"#);
        json::string(buffer, reason.as_str());
        buffer.extend_from_slice(br#","category":"#);
        json::string(buffer, category);
        buffer.extend_from_slice(br#","quantity":"#);
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
