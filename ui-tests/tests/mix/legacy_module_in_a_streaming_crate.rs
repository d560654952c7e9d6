// What the other declaration would have brought into the crate is not there.
span_runtime::lifecycle!(stream);

use crate::legacy::start_transaction;

fn main() {
    start_transaction();
}
