//! The macros of `span-runtime`: the attribute `#[span]`, and the block macro behind `span!`.
//!
//! Use them through `span-runtime`, which re-exports them and owns what they expand to.

use proc_macro::TokenStream;

mod attr;
mod errors;
mod expand;
mod expand_block;
mod expand_fn;
mod item;
mod tail;
#[cfg(test)]
mod tests;
#[cfg(feature = "legacy")]
mod transaction;
mod types;
mod valid;
mod words;

#[doc = include_str!("docs/span.md")]
#[proc_macro_attribute]
pub fn span(args: TokenStream, item: TokenStream) -> TokenStream {
    if cfg!(feature = "off") {
        return item;
    }
    expand_fn::span(args.into(), item.into()).into()
}

#[cfg(feature = "legacy")]
// Its example needs a runtime with the feature `legacy`: the package `tests` compiles it.
#[cfg_attr(not(doctest), doc = include_str!("docs/transaction.md"))]
#[proc_macro_attribute]
pub fn transaction(args: TokenStream, item: TokenStream) -> TokenStream {
    if cfg!(feature = "off") {
        return item;
    }
    transaction::expand(args.into(), item.into()).into()
}

#[doc = include_str!("docs/span_block.md")]
#[doc(hidden)]
#[proc_macro]
pub fn __span_block(input: TokenStream) -> TokenStream {
    if cfg!(feature = "off") {
        return expand_block::body_alone(input.into()).into();
    }
    expand_block::span(input.into()).into()
}
