// A crate that has a module `legacy` already gives the calls another name.
span_runtime::lifecycle!(static as transactions);

mod legacy {
    pub fn old_news() {}
}

fn main() {
    legacy::old_news();
    transactions::start_transaction(transactions::TransactionContext::new("checkout", "task")).finish();
}
