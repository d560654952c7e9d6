// The block of the streaming API, where the crate said that it makes transactions.
span_runtime::lifecycle!(static);

fn main() {
    let total = span!("price", "items" = 3, { 3 * 4 });
    assert_eq!(total, 12);
}
