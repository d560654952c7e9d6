//! Whatever tokens stand in an attribute or a block macro and under it, the expansion ends, and does not panic; and where nothing is wrong
//! with either, it is a function or an expression again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proc_macro2::TokenStream;
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;

// The library of a proc-macro crate cannot be linked to; its modules can be compiled again.
#[path = "../../span-macros/src/attr.rs"]
mod attr;
#[path = "../../span-macros/src/errors.rs"]
mod errors;
#[path = "../../span-macros/src/expand.rs"]
mod expand;
#[path = "../../span-macros/src/expand_block.rs"]
mod expand_block;
#[path = "../../span-macros/src/expand_fn.rs"]
mod expand_fn;
#[path = "../../span-macros/src/item.rs"]
mod item;
#[path = "../../span-macros/src/tail.rs"]
mod tail;
#[path = "../../span-macros/src/transaction.rs"]
mod transaction;
#[path = "../../span-macros/src/types.rs"]
mod types;
#[path = "../../span-macros/src/valid.rs"]
mod valid;
#[path = "../../span-macros/src/words.rs"]
mod words;

/// Parsers descend into brackets and operators, and need stack for each. rustc does not read code that is nested much deeper than this.
const MOST_BYTES: usize = 1024;

// Arguments, a NUL, and what they stand on.
fuzz_target!(|text: &str| {
    let (args, item) = text.split_once('\0').unwrap_or((text, "fn f(a: u8) -> u8 { a }"));
    if text.len() > MOST_BYTES {
        return;
    }
    let (Ok(args), Ok(item)) = (args.parse::<TokenStream>(), item.parse::<TokenStream>()) else { return };
    check_attribute(&expand_fn::span(args.clone(), item.clone()), &item);
    check_attribute(&transaction::expand(args.clone(), item.clone()), &item);
    check_block(args);
});

fn check_attribute(expansion: &TokenStream, item: &TokenStream) {
    let (text, before) = (expansion.to_string(), item.to_string());
    if text.contains("compile_error") {
        let two_attributes = before.contains("span") || before.contains("transaction");
        assert!(two_attributes || text.starts_with(before.trim_end()), "the item was lost: {text}");
    } else if syn::parse2::<syn::ItemFn>(item.clone()).is_ok() {
        assert!(syn::parse2::<syn::ItemFn>(expansion.clone()).is_ok(), "no function: {text}");
    }
}

fn check_block(args: TokenStream) {
    let expressions = Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
    let valid = expressions.parse2(args.clone()).is_ok();
    let off = expand_block::body_alone(args.clone());
    let expansion = expand_block::span(args);
    let text = expansion.to_string();
    if valid && !text.contains("compile_error") {
        assert!(syn::parse2::<syn::Expr>(expansion).is_ok(), "no expression: {text}");
        assert!(syn::parse2::<syn::Expr>(off.clone()).is_ok(), "no expression where it is off: {off}");
    }
}
