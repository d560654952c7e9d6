//! What the expansions of both macros are made of.
//!
//! Every token made here has a mixed-site span: local names and labels cannot be seen by the
//! user's code, nor the other way round. Items are not hygienic, so each stands in a block of its
//! own in which no token of the user's stands.

use proc_macro2::{Group, Ident, Span, TokenStream};
use quote::{ToTokens as _, quote_spanned};
use syn::LitStr;
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;

use crate::attr::{Attribute, Name, Options, Parent};

/// The span that all tokens of ours have.
pub(crate) fn ours() -> Span {
    Span::mixed_site()
}

/// Ours, but where an error about it is to be shown at a token of the user's.
pub(crate) fn ours_at(place: Span) -> Span {
    Span::mixed_site().located_at(place)
}

/// The user's block where it ends up inside of a block of ours. With braces of the user's the
/// compiler would find them unnecessary: `fn f() { g() }` has become `fn f() { …; { g() } }`.
pub(crate) fn nested(block: &Group) -> Group {
    let mut nested = block.clone();
    nested.set_span(ours_at(block.span()));
    nested
}

/// How the span that a start expression makes is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// By a guard that makes it the current span of this thread.
    Current,
    /// By a future or a stream that makes it current while it is polled.
    Detached,
    /// By a future that is polled at once, and starts it with that.
    Polled,
}

/// What `__span_value` is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Owned,
    Reference,
}

impl Value {
    fn by_reference(self, at: Span) -> TokenStream {
        match self {
            Value::Owned => quote_spanned!(at=> &__span_value),
            Value::Reference => quote_spanned!(at=> __span_value),
        }
    }
}

/// The pieces of one expansion: the paths to the runtime, and what the options say.
pub(crate) struct Printer<'a> {
    /// `::span_runtime`
    krate: TokenStream,
    /// `::span_runtime::__private`
    pub(crate) rt: TokenStream,
    options: &'a Options,
    /// The call site's name, where the options give none that is known now.
    default_name: TokenStream,
    default_op: Option<&'static str>,
    /// The function of `__private::lock` that compiles where the macro may stand.
    lock: &'static str,
}

impl<'a> Printer<'a> {
    pub(crate) fn new(
        options: &'a Options,
        default_name: TokenStream,
        default_op: Option<&'static str>,
        lock: &'static str,
    ) -> Printer<'a> {
        let krate = match &options.krate {
            Some(path) => path.to_token_stream(),
            None => quote_spanned!(ours()=> ::span_runtime),
        };
        let rt = quote_spanned!(ours()=> #krate::__private);
        Printer { krate, rt, options, default_name, default_op, lock }
    }

    /// An expression that starts the span: the static call site, and one call.
    pub(crate) fn start(&self, held: Held) -> TokenStream {
        let (krate, rt) = (&self.krate, &self.rt);
        let inactive = self.options.given("inactive").is_some();
        let parent = match &self.options.parent {
            None => quote_spanned!(ours()=> #krate::Parent::CURRENT),
            Some(Parent::Root) => quote_spanned!(ours()=> #krate::Parent::ROOT),
            Some(Parent::Of(parent)) => {
                let at = ours_at(parent.span());
                quote_spanned!(at=> #krate::Parent::of(&(#parent)))
            }
        };
        if held == Held::Current && !inactive && !matches!(self.options.name, Some(Name::Runtime(_))) {
            return self.enter(&parent);
        }
        let site = self.site(&TokenStream::new());
        let lines = self.start_lines();
        let start = match (held, inactive) {
            (_, true) => quote_spanned!(ours()=> start_inactive),
            (Held::Current, false) => quote_spanned!(ours()=> enter_with),
            (Held::Detached, false) => quote_spanned!(ours()=> start_detached),
            (Held::Polled, false) => quote_spanned!(ours()=> prepare_future),
        };
        if lines.is_empty() {
            return match (held, inactive) {
                (Held::Polled, false) => quote_spanned!(ours()=> #rt::prepare_future_plain(#site, #parent)),
                _ => quote_spanned!(ours()=> #rt::#start(#site, #parent, |_| {})),
            };
        }
        quote_spanned!(ours()=> #rt::#start(#site, #parent, |__span_start| { #lines }))
    }

    /// The start of almost every span: of a name that is known now, and current on its thread. The call site has the keys, and values that
    /// are literals; the others are handed over.
    fn enter(&self, parent: &TokenStream) -> TokenStream {
        let rt = &self.rt;
        let options = self.options;
        if options.attributes.is_empty() && options.args.is_empty() {
            let site = self.site(&TokenStream::new());
            return match options.parent {
                None => quote_spanned!(ours()=> #rt::enter(#site)),
                Some(_) => quote_spanned!(ours()=> #rt::enter_with(#site, #parent, |_| {})),
            };
        }
        let site = self.site(&self.given());
        let literals_only =
            options.args.is_empty() && options.attributes.iter().all(|attribute| attribute.static_value().is_some());
        if literals_only && options.parent.is_none() {
            return quote_spanned!(ours()=> #rt::enter(#site));
        }
        let args = options.args.iter().map(|name| {
            let at = ours_at(name.span());
            quote_spanned!(at=> #rt::value(&#name))
        });
        let values =
            options.attributes.iter().filter(|attribute| attribute.static_value().is_none()).map(|attribute| {
                let value = &attribute.value;
                let at = ours_at(value.span());
                quote_spanned!(at=> #rt::value(&(#value)))
            });
        let values = values.chain(args);
        quote_spanned!(ours()=> #rt::enter_values(#site, #parent, || [#(#values),*]))
    }

    /// The keys of the span's attributes, each with its value if that is a literal.
    fn given(&self) -> TokenStream {
        let attributes = self.options.attributes.iter().map(|attribute| {
            let key = LitStr::new(&attribute.key, ours());
            let value = match attribute.static_value() {
                Some(text) => quote_spanned!(ours()=> ::core::option::Option::Some(#text)),
                None => quote_spanned!(ours()=> ::core::option::Option::None),
            };
            quote_spanned!(ours()=> (#key, #value))
        });
        let args = self.options.args.iter().map(|name| {
            let key = LitStr::new(&name.unraw().to_string(), ours());
            quote_spanned!(ours()=> (#key, ::core::option::Option::None))
        });
        let given = attributes.chain(args);
        quote_spanned!(ours()=> .attributes(&[#(#given),*]))
    }

    /// `let` and the name under which the running span of a synchronous body is held, and how to
    /// reach its outcome.
    pub(crate) fn binding(&self, reports: bool) -> (TokenStream, TokenStream) {
        // An inactive span is held by itself, and its outcome is set through `&mut`.
        let binding = match self.options.given("inactive").is_some() && reports {
            true => quote_spanned!(ours()=> let mut __span_held),
            false => quote_spanned!(ours()=> let __span_held),
        };
        (binding, quote_spanned!(ours()=> __span_held.outcome()))
    }

    /// Statements that tell `outcome` how a body ended; `__span_value` is its value, or a
    /// reference to it.
    pub(crate) fn report(&self, value: Value, outcome: &TokenStream) -> TokenStream {
        let rt = &self.rt;
        let failed = match self.options.given("err") {
            Some(err) => {
                let at = ours_at(err.span());
                let value = value.by_reference(at);
                quote_spanned! {at=>
                    if let ::core::result::Result::Err(__span_error) = #value {
                        #outcome.failed();
                        #outcome.error_text(__span_error);
                    }
                }
            }
            None => {
                let value = value.by_reference(ours());
                quote_spanned! {ours()=>
                    if { use #rt::NotAResult as _; #rt::Probe(#value).is_err() } {
                        #outcome.failed();
                    }
                }
            }
        };
        let returned = self.options.given("ret").map(|ret| {
            let at = ours_at(ret.span());
            let value = value.by_reference(at);
            quote_spanned!(at=> #outcome.returned(#value);)
        });
        quote_spanned!(ours()=> #failed #returned)
    }

    /// The closure that a future reports its outcome through; `known` is false where the output
    /// cannot be a result.
    pub(crate) fn future_outcome(&self, known: bool) -> TokenStream {
        if !known {
            return quote_spanned!(ours()=> |_, _| {});
        }
        let report = self.report(Value::Reference, &quote_spanned!(ours()=> __span_outcome));
        quote_spanned!(ours()=> |__span_outcome, __span_value| { #report })
    }

    /// `instrument(span, future, outcome)`
    pub(crate) fn instrument(
        &self,
        held: Held,
        span: &TokenStream,
        future: &TokenStream,
        outcome: &TokenStream,
    ) -> TokenStream {
        let rt = &self.rt;
        let instrument = match (self.options.given("inactive"), held) {
            (Some(_), _) => quote_spanned!(ours()=> instrument_inactive),
            (None, Held::Polled) => quote_spanned!(ours()=> instrument_unstarted),
            (None, _) => quote_spanned!(ours()=> instrument),
        };
        quote_spanned!(ours()=> #rt::#instrument(#span, #future, #outcome))
    }

    /// The static call site; `given_attributes` is what is known of its attributes.
    fn site(&self, given_attributes: &TokenStream) -> TokenStream {
        let rt = &self.rt;
        let name = match &self.options.name {
            Some(Name::Static(name)) => name.to_token_stream(),
            _ => self.default_name.clone(),
        };
        let given = |key: &str| self.options.attributes.iter().any(|entry| entry.key == key);
        let op = match self.default_op {
            Some(op) if !given("sentry.op") => Some(quote_spanned!(ours()=> .op(#op))),
            _ => None,
        };
        let source = self.options.source.iter();
        let lock = lock(rt, self.lock);
        quote_spanned! {ours()=> {
            #lock
            static __SPAN_SITE: #rt::Callsite = #rt::Callsite::new(#name) #op #(.source(#source))* #given_attributes;
            &__SPAN_SITE
        }}
    }

    /// What the start closure does, evaluated only when the span may record.
    fn start_lines(&self) -> TokenStream {
        let mut lines = TokenStream::new();
        if let Some(Name::Runtime(name)) = &self.options.name {
            let at = ours_at(name.span());
            lines.extend(quote_spanned!(at=> __span_start.name(#name);));
        }
        lines.extend(self.options.attributes.iter().map(attribute_line));
        for name in &self.options.args {
            let key = LitStr::new(&name.unraw().to_string(), ours());
            let at = ours_at(name.span());
            lines.extend(quote_spanned!(at=> __span_start.attribute(#key, &#name);));
        }
        lines
    }
}

/// A constant that compiles where the crate did not declare the other lifecycle. (`lock`, in the runtime)
///
/// The inner glob wins where the crate declared something, the outer one is the fallback. All paths are resolved outside
/// of the inner block, where a name of the crate's could stand in the way.
pub(crate) fn lock(rt: &TokenStream, check: &str) -> TokenStream {
    let check = Ident::new(check, ours());
    quote_spanned! {ours()=>
        #[allow(unused_imports, reason = "a crate need not declare anything")]
        const _: () = {
            use #rt::lock::*;
            {
                use crate::*;
                #check::<__SpanLifecycle>()
            }
        };
    }
}

fn attribute_line(attribute: &Attribute) -> TokenStream {
    let key = LitStr::new(&attribute.key, ours());
    match attribute.static_value() {
        Some(text) => quote_spanned!(ours()=> __span_start.attribute_static(#key, #text);),
        None => {
            let value = &attribute.value;
            let at = ours_at(value.span());
            quote_spanned!(at=> __span_start.attribute(#key, &(#value));)
        }
    }
}
