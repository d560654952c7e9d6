// Nor in the block macro.
span_runtime::lifecycle!(stream);

use span_runtime::legacy::TransactionOrSpan;

fn child_of(outer: &TransactionOrSpan) -> u32 {
    span!("child", parent = outer, { 1 })
}

fn main() {
    let _ = child_of;
}
