//! Every mistake in one compile: stages report here and go on, as in `serde_derive`.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};

/// The mistakes found so far, in the order in which they were found.
#[derive(Debug, Default)]
#[must_use = "errors that nobody prints are mistakes that nobody sees"]
pub(crate) struct Ctxt {
    errors: Vec<syn::Error>,
}

impl Ctxt {
    pub(crate) fn new() -> Ctxt {
        Ctxt::default()
    }

    /// Reports a mistake at a token.
    pub(crate) fn error(&mut self, at: Span, message: impl Display) {
        self.errors.push(syn::Error::new(at, message));
    }

    /// Takes over an error that a parser made.
    pub(crate) fn push(&mut self, error: syn::Error) {
        self.errors.push(error);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// The `compile_error!` calls for all that was reported; nothing where nothing was.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.errors.iter().map(syn::Error::to_compile_error).collect()
    }
}
