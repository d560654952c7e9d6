//! `#[transaction]`, the legacy twin of `#[span]`: from a function to the function that is a transaction.
//!
//! Nothing of the other files depends on this one. What it has in common with `expand_fn` stands twice, so that it can be
//! deleted.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens as _, quote_spanned};
use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::spanned::Spanned as _;
use syn::{Expr, ExprLit, Lit, LitStr, Path};

use crate::attr::{
    Attribute, assignment, end_of_entry, entries, list_of, literal_expr, pair, parse_with, skip_to_comma,
    string_literal, value_of,
};
use crate::errors::Ctxt;
use crate::expand::{lock, nested, ours, ours_at};
use crate::item::{Function, regroup};
use crate::tail::AsyncTail;
use crate::types::{erase_impl_trait, future_output, is_callable, is_never};
use crate::{valid, words};

/// The options, in the order in which an error lists them.
const WORDS: &[&str] = &["name", "op", "source", "tags", "data", "crate"];

/// The whole of `#[transaction(args)] item`. A mistake never costs the item.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut cx = Ctxt::new();
    let options = Options::parse(args, &mut cx);
    let function = Function::parse("#[transaction]", &item, &mut cx);
    valid::check_lifecycles(&item, "span", &mut cx);
    if let Some(function) = &function {
        if let Some(token) = &function.sig.constness {
            cx.error(
                token.span,
                "a `const fn` may run when the program is compiled, where there is no clock and no transaction; \
                 remove `const`",
            );
        }
        if cx.is_empty() {
            return expand_function(&options, function);
        }
    }
    let (item, errors) = (valid::without_attribute(item, "span"), cx.into_tokens());
    quote_spanned!(ours()=> #item #errors)
}

/// What the user asked for.
#[derive(Default)]
struct Options {
    given: Vec<Ident>,
    krate: Option<Path>,
    name: Option<Expr>,
    op: Option<Expr>,
    source: Option<LitStr>,
    tags: Vec<Attribute>,
    data: Vec<Attribute>,
}

impl Options {
    fn parse(args: TokenStream, cx: &mut Ctxt) -> Options {
        let mut options = Options::default();
        parse_with(args, cx, |input, cx| {
            // `#[transaction("name")]`: the name may come first, on its own.
            if input.peek(LitStr) {
                let name: LitStr = input.parse()?;
                options.given.push(Ident::new("name", name.span()));
                options.name = Some(checked_text("name", Expr::Lit(literal_expr(name)), cx));
                end_of_entry(input, cx);
            }
            entries(input, cx, |input, cx| options.entry(input, cx));
            Ok(())
        });
        options
    }

    fn entry(&mut self, input: ParseStream<'_>, cx: &mut Ctxt) -> syn::Result<()> {
        if !input.peek(Ident::peek_any) {
            return Err(input.error("expected an option such as `name = \"…\"` or `tags(\"key\" = value)`"));
        }
        let word = input.call(Ident::parse_any)?;
        let text = word.to_string();
        if !WORDS.contains(&text.as_str()) {
            cx.error(word.span(), refusal(&text));
            skip_to_comma(input);
            return Ok(());
        }
        // The value is still read; which of the two is kept does not matter, as neither is expanded.
        if self.given.contains(&word) {
            cx.error(word.span(), format!("`{word}` is given twice"));
        }
        self.given.push(word.clone());
        match text.as_str() {
            "name" => self.name = Some(checked_text("name", value_of(&word, input)?, cx)),
            "op" => self.op = Some(checked_text("op", value_of(&word, input)?, cx)),
            "source" => {
                let value = value_of(&word, input)?;
                match string_literal(&value) {
                    Some(text) if words::SOURCES.contains(&text.value().as_str()) => self.source = Some(text.clone()),
                    Some(text) => words::unknown_source(&text.value(), text.span(), cx),
                    None => {
                        cx.error(
                            value.span(),
                            "`source` is fixed when the program is compiled: write a string literal",
                        );
                    }
                }
            }
            "tags" => self.tags = pairs(&word, input, cx)?,
            "data" => self.data = pairs(&word, input, cx)?,
            // `crate` is all that is left of the words.
            _ => {
                assignment(&word, input)?;
                self.krate = Some(input.call(Path::parse_mod_style)?);
            }
        }
        Ok(())
    }
}

/// The value of `name` or `op`. Of literals only a string that says something will do.
fn checked_text(word: &str, value: Expr, cx: &mut Ctxt) -> Expr {
    match &value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if text.value().trim().is_empty() => {
            let instead = match word {
                "name" => "say what the transaction does",
                _ => "say what kind of work it is, or leave `op` out for \"function\"",
            };
            cx.error(text.span(), format!("the {word} is empty: {instead}"));
        }
        Expr::Lit(ExprLit { lit: Lit::Str(_), .. }) => {}
        Expr::Lit(literal) => {
            let message = format!("the {word} is text: write a string literal or an expression that gives a string");
            cx.error(literal.span(), message);
        }
        _ => {}
    }
    value
}

/// `("key" = value, …)` behind an option's word.
fn pairs(word: &Ident, input: ParseStream<'_>, cx: &mut Ctxt) -> syn::Result<Vec<Attribute>> {
    let list = list_of(word, "\"key\" = value", input)?;
    let mut pairs: Vec<Attribute> = Vec::new();
    parse_with(list, cx, |input, cx| {
        entries(input, cx, |input, cx| {
            let pair = pair(input, cx)?;
            if pairs.iter().any(|other| other.key == pair.key) {
                cx.error(pair.key_span, format!("the key `{}` is given twice", pair.key));
            }
            pairs.push(pair);
            Ok(())
        });
        Ok(())
    });
    Ok(pairs)
}

/// What to say about a word that is no option: where it belongs to the streaming API, what it is here.
fn refusal(given: &str) -> String {
    let instead = match given {
        "attributes" | "args" => "write `data(\"key\" = value)`",
        "root" => "a transaction is a root always",
        "parent" => {
            "continue a trace by `TransactionContext::continue_from_headers`, or start a child by `start_child`"
        }
        "inactive" => "start a transaction that is not current by `start_transaction`",
        "err" => {
            "an `Err` sets the status `internal_error`; to record its text, call `set_data` on `current_span()` in the body"
        }
        "ret" => "to record the value, call `set_data` on `current_span()` in the body",
        "stream" => "a transaction ends with the call",
        _ => {
            let meant = match words::nearest(given, WORDS) {
                Some(near) => format!(", did you mean `{near}`?"),
                None => ";".to_owned(),
            };
            let listed = WORDS.join("`, `");
            return format!("unknown option `{given}`{meant} `#[transaction]` takes `{listed}`");
        }
    };
    format!("`{given}` belongs to the streaming API; {instead}")
}

/// Input:
/// ```text
/// fn f(args) -> Ret { body }
/// ```
///
/// Output:
/// ```text
/// fn f(args) -> Ret {
///     let __span_held = begin("name", "op", None, |s| …).enter();
///     let __span_value = call(move || -> Ret { body });
///     if Probe(&__span_value).is_err() { __span_held.failed(); }
///     __span_value
/// }
/// ```
///
/// and of an `async fn`:
/// ```text
/// let __span_held = begin("name", "op", None, |s| …);
/// carry(__span_held, async move { <hint>; body }, |value| Probe(value).is_err()).await
/// ```
fn expand_function(options: &Options, function: &Function) -> TokenStream {
    let krate = match &options.krate {
        Some(path) => path.to_token_stream(),
        None => quote_spanned!(ours()=> ::span_runtime),
    };
    let rt = quote_spanned!(ours()=> #krate::__private);
    let statements = if function.sig.asyncness.is_some() {
        future(options, function, &rt)
    } else if let Some(tail) = AsyncTail::find(&function.body.stream()) {
        returned_future(options, function, &rt, tail)
    } else {
        call(options, function, &rt)
    };
    let (head, inner_attrs) = (&function.head, &function.inner_attrs);
    let lock = lock(&rt, "__span_transacts");
    let block = regroup(&function.body, quote_spanned!(ours()=> #inner_attrs #lock #statements));
    quote_spanned!(ours()=> #head #block)
}

/// An expression that starts the transaction.
fn begin(options: &Options, function: &Function, rt: &TokenStream) -> TokenStream {
    let name = match &options.name {
        Some(name) => name.to_token_stream(),
        None => {
            let name = LitStr::new(&function.sig.ident.unraw().to_string(), ours());
            quote_spanned!(ours()=> ::core::concat!(::core::module_path!(), "::", #name))
        }
    };
    let op = match &options.op {
        Some(op) => op.to_token_stream(),
        None => quote_spanned!(ours()=> "function"),
    };
    let source = match &options.source {
        Some(source) => quote_spanned!(ours()=> ::core::option::Option::Some(#source)),
        None => quote_spanned!(ours()=> ::core::option::Option::None),
    };
    let start = match options.tags.is_empty() && options.data.is_empty() {
        true => quote_spanned!(ours()=> |_| {}),
        false => {
            let tags = options.tags.iter().map(|tag| line("tag", tag));
            let data = options.data.iter().map(|datum| line("data", datum));
            quote_spanned!(ours()=> |__span_start| { #(#tags)* #(#data)* })
        }
    };
    quote_spanned!(ours()=> #rt::legacy::begin(#name, #op, #source, #start))
}

fn line(method: &str, Attribute { key, value, .. }: &Attribute) -> TokenStream {
    let method = Ident::new(method, ours());
    let key = LitStr::new(key, ours());
    let at = ours_at(value.span());
    quote_spanned!(at=> __span_start.#method(#key, &(#value));)
}

/// A synchronous body.
fn call(options: &Options, function: &Function, rt: &TokenStream) -> TokenStream {
    let begin = begin(options, function, rt);
    let body = &function.body;
    let Some(ty) = function.output().filter(|ty| !is_never(ty) && !is_callable(ty)) else {
        let body = nested(body);
        return quote_spanned!(ours()=> let __span_held = #begin.enter(); #body);
    };
    let ret = erase_impl_trait(ty);
    let failed = probe(rt, &quote_spanned!(ours()=> &__span_value));
    quote_spanned! {ours()=>
        let __span_held = #begin.enter();
        let __span_value = #rt::call(move || -> #ret #body);
        if #failed {
            __span_held.failed();
        }
        __span_value
    }
}

/// The body of an `async fn`.
fn future(options: &Options, function: &Function, rt: &TokenStream) -> TokenStream {
    let begin = begin(options, function, rt);
    let keywords = quote_spanned!(ours()=> async move);
    let carried = carried(rt, &keywords, &function.body, Some(function.output()));
    quote_spanned!(ours()=> let __span_held = #begin; #carried.await)
}

/// A function that returns a future which is an async block. Where the block is all there is, the transaction starts at the
/// first poll; statements before it may use the arguments up, so that it starts at the call.
fn returned_future(options: &Options, function: &Function, rt: &TokenStream, tail: AsyncTail) -> TokenStream {
    let AsyncTail { before, pin, keywords, block } = tail;
    let begin = begin(options, function, rt);
    let begin = quote_spanned!(ours()=> let __span_held = #begin;);
    let output = function.output().and_then(future_output);
    let carried = carried(rt, &keywords, &block, output.map(Some));
    let (first, future) = match before.is_empty() {
        true => (TokenStream::new(), quote_spanned!(ours()=> #keywords { #begin #carried.await })),
        false => (begin, carried),
    };
    let future = match pin {
        Some((path, parens)) => {
            let call = regroup(&parens, future);
            quote_spanned!(ours()=> #path #call)
        }
        None => future,
    };
    quote_spanned!(ours()=> #first #before #future)
}

/// `carry(__span_held, async move { <hint>; body }, failed)`; `output` is what is declared, where that is known.
fn carried(
    rt: &TokenStream,
    keywords: &TokenStream,
    body: &proc_macro2::Group,
    output: Option<Option<&syn::Type>>,
) -> TokenStream {
    let body = nested(body);
    let hint = match output {
        Some(Some(ty)) if !is_never(ty) => Some((erase_impl_trait(ty).to_token_stream(), ours_at(ty.span()))),
        Some(None) => Some((quote_spanned!(ours()=> ()), ours())),
        _ => None,
    };
    let hint = hint.map(|(ty, at)| {
        quote_spanned! {at=>
            if let ::core::option::Option::Some(__span_value) = ::core::option::Option::None::<#ty> {
                return __span_value;
            }
        }
    });
    // A value that cannot be a result is not probed: where the body does not end, the compiler would make it one.
    let failed = match output {
        Some(ty) if ty.is_none_or(is_never) => quote_spanned!(ours()=> |_| false),
        _ => {
            let failed = probe(rt, &quote_spanned!(ours()=> __span_value));
            quote_spanned!(ours()=> |__span_value| #failed)
        }
    };
    quote_spanned!(ours()=> #rt::legacy::carry(__span_held, #keywords { #hint #body }, #failed))
}

fn probe(rt: &TokenStream, value: &TokenStream) -> TokenStream {
    quote_spanned!(ours()=> { use #rt::NotAResult as _; #rt::Probe(#value).is_err() })
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;
    use crate::tests::messages;

    fn said(args: TokenStream) -> Vec<String> {
        messages(expand(
            args,
            quote!(
                fn load(order: u64) -> Result<u64, E> {
                    find(order)
                }
            ),
        ))
    }

    // behaviour 58
    #[test]
    fn a_function_becomes_a_transaction() {
        let item = quote!(
            fn load(order: u64) -> Result<u64, E> {
                find(order)?
            }
        );
        let expansion = expand(quote!(name = names(order), op = "db", source = "task", tags("n" = order)), item);
        let expected = quote! {
            fn load(order: u64) -> Result<u64, E> {
                #[allow(unused_imports, reason = "a crate need not declare anything")]
                const _: () = {
                    use ::span_runtime::__private::lock::*;
                    { use crate::*; __span_transacts::<__SpanLifecycle>() }
                };
                let __span_held = ::span_runtime::__private::legacy::begin(
                    names(order),
                    "db",
                    ::core::option::Option::Some("task"),
                    |__span_start| { __span_start.tag("n", &(order)); }
                ).enter();
                let __span_value = ::span_runtime::__private::call(
                    move || -> Result<u64, E> { find(order)? }
                );
                if {
                    use ::span_runtime::__private::NotAResult as _;
                    ::span_runtime::__private::Probe(&__span_value).is_err()
                } {
                    __span_held.failed();
                }
                __span_value
            }
        };
        assert_eq!(expansion.to_string(), expected.to_string());
    }

    /// The body of `fn f() -> Ret { body }`, without the lock at its start, which is looked for.
    fn statements(item: TokenStream) -> String {
        let expansion = expand(quote!("x", crate = rt), item);
        let Some(proc_macro2::TokenTree::Group(body)) = expansion.into_iter().last() else {
            panic!("no body");
        };
        let lock = lock(&quote!(rt::__private), "__span_transacts").to_string();
        let text = body.stream().to_string();
        assert_eq!(text.matches("const _").count(), 1, "{text}");
        text.strip_prefix(&lock).expect("the lock").trim_start().to_owned()
    }

    fn begin() -> TokenStream {
        quote!(rt::__private::legacy::begin("x", "function", ::core::option::Option::None, |_| {}))
    }

    fn hint(ty: TokenStream) -> TokenStream {
        quote! {
            if let ::core::option::Option::Some(__span_value) = ::core::option::Option::None::<#ty> {
                return __span_value;
            }
        }
    }

    fn probed() -> TokenStream {
        quote!(|__span_value| {
            use rt::__private::NotAResult as _;
            rt::__private::Probe(__span_value).is_err()
        })
    }

    // behaviour 58
    #[test]
    fn the_name_is_the_functions_path_where_none_is_given() {
        let expansion = expand(
            quote!(),
            quote!(
                fn r#load() {}
            ),
        );
        let expected = quote!(begin(
            ::core::concat!(::core::module_path!(), "::", "load"),
            "function",
            ::core::option::Option::None,
            |_| {}
        ));
        assert!(expansion.to_string().contains(&expected.to_string()), "{expansion}");
    }

    // behaviour 58
    #[test]
    fn a_body_without_a_value_to_look_at_stays_the_tail() {
        let begin = begin();
        for ret in [quote!(), quote!(-> ()), quote!(-> !), quote!(-> impl Fn(&str) -> usize)] {
            let expected = quote!(let __span_held = #begin.enter(); { half typed. });
            assert_eq!(statements(quote!(fn f(self: Box<Self>) #ret { half typed. })), expected.to_string());
        }
    }

    // behaviour 58
    #[test]
    fn a_future_carries_its_transaction() {
        let (begin, failed) = (begin(), probed());
        let hint = hint(quote!(Result<_, E>));
        let expected = quote! {
            let __span_held = #begin;
            rt::__private::legacy::carry(__span_held, async move { #hint { g(x).await } }, #failed).await
        };
        let item = quote!(
            async fn f(x: u8) -> Result<impl Copy, E> {
                g(x).await
            }
        );
        assert_eq!(statements(item), expected.to_string());
    }

    // behaviour 58
    #[test]
    fn a_future_without_a_value_is_not_probed() {
        let begin = begin();
        for (ret, hint) in
            [(quote!(), hint(quote!(()))), (quote!(-> ()), hint(quote!(()))), (quote!(-> !), TokenStream::new())]
        {
            let expected = quote! {
                let __span_held = #begin;
                rt::__private::legacy::carry(__span_held, async move { #hint { loop {} } }, |_| false).await
            };
            assert_eq!(statements(quote!(async fn f() #ret { loop {} })), expected.to_string());
        }
    }

    // behaviour 58
    #[test]
    fn an_async_block_at_the_end_starts_when_polled_or_at_the_call() {
        let (begin, failed) = (begin(), probed());
        let hint = hint(quote!(u8));
        let expected = quote! {
            Box::pin(async move {
                let __span_held = #begin;
                rt::__private::legacy::carry(__span_held, async move { #hint { x } }, #failed).await
            })
        };
        let item = quote! { fn f(x: u8) -> Pin<Box<dyn Future<Output = u8> + Send>> { Box::pin(async move { x }) } };
        assert_eq!(statements(item), expected.to_string());

        let expected = quote! {
            let __span_held = #begin;
            let y = x;
            rt::__private::legacy::carry(__span_held, async { { y } }, #failed)
        };
        let item = quote! { fn f(x: u8) -> BoxFuture<u8> { let y = x; async { y } } };
        assert_eq!(statements(item), expected.to_string());
    }

    #[test]
    fn what_is_well_formed_is_taken() {
        for args in [
            quote!(),
            quote!("name"),
            quote!(name = format!("{order}"), op = OP, source = "url", crate = a::b),
            quote!(tags("a" = 1, b.c = 2), data("d" = order),),
        ] {
            assert_eq!(said(args), [""; 0]);
        }
    }

    // behaviour 19
    #[test]
    fn words_of_the_streaming_api_say_what_replaces_them() {
        assert_eq!(
            said(quote!(attributes("a" = 1), args(order), root, parent = x, inactive, err, ret, stream)),
            [
                "`attributes` belongs to the streaming API; write `data(\"key\" = value)`",
                "`args` belongs to the streaming API; write `data(\"key\" = value)`",
                "`root` belongs to the streaming API; a transaction is a root always",
                "`parent` belongs to the streaming API; continue a trace by \
                 `TransactionContext::continue_from_headers`, or start a child by `start_child`",
                "`inactive` belongs to the streaming API; start a transaction that is not current by \
                 `start_transaction`",
                "`err` belongs to the streaming API; an `Err` sets the status `internal_error`; to record its \
                 text, call `set_data` on `current_span()` in the body",
                "`ret` belongs to the streaming API; to record the value, call `set_data` on `current_span()` in \
                 the body",
                "`stream` belongs to the streaming API; a transaction ends with the call",
            ]
        );
    }

    #[test]
    fn values_are_looked_at() {
        assert_eq!(
            said(quote!(name = 5, op = " ", source = s, tags, data("a" = 1, b = 2, a = 3), level = "x", 7)),
            [
                "the name is text: write a string literal or an expression that gives a string",
                "the op is empty: say what kind of work it is, or leave `op` out for \"function\"",
                "`source` is fixed when the program is compiled: write a string literal",
                "`tags` takes a list: write `tags(\"key\" = value)`",
                "the key `a` is given twice",
                "unknown option `level`; `#[transaction]` takes `name`, `op`, `source`, `tags`, `data`, `crate`",
                "expected an option such as `name = \"…\"` or `tags(\"key\" = value)`",
            ]
        );
        assert_eq!(said(quote!("")), ["the name is empty: say what the transaction does"]);
        // A tag and a value may have the same key: they are shown apart.
        assert_eq!(said(quote!(tags("a" = 1), data("a" = 1))), [""; 0]);
    }

    #[test]
    fn all_mistakes_are_told_in_one_compile_and_the_item_stays() {
        let args = quote!("", nam = 1, op, source = "rout", tags("a"), data(= 1), crate = );
        let expansion = expand(
            args,
            quote!(
                const fn load() {}
            ),
        );
        let text = expansion.to_string();
        assert!(text.contains("const fn load () { }"), "{text}");
        let said = messages(expansion);
        for part in [
            "the name is empty",
            "unknown option `nam`, did you mean `name`?",
            "`op` takes a value",
            "did you mean \"route\"?",
            "`a` has no value",
            "expected a key",
            "expected the value of `crate`",
            "a `const fn`",
        ] {
            assert!(said.iter().any(|text| text.contains(part)), "{part}: {said:#?}");
        }
    }

    #[test]
    fn an_option_is_given_once_and_a_function_has_one_lifecycle() {
        assert_eq!(said(quote!("a", name = f::<A, B>(), op = "x")), ["`name` is given twice"]);
        let twice = expand(
            quote!(),
            quote!(
                #[span(name = "x")]
                fn load() {}
            ),
        );
        assert!(!twice.to_string().contains("name"), "{twice}");
        assert_eq!(
            messages(twice),
            ["a function has one lifecycle: `#[span]` streams and `#[transaction]` does not; remove one of them"]
        );
    }

    #[test]
    fn other_items_are_told_apart() {
        let said = |item| messages(expand(quote!(), item));
        assert_eq!(
            said(quote!(
                struct A;
            ))
            .len(),
            1
        );
        assert!(said(quote!(impl A {}))[0].starts_with("`#[transaction]` goes on functions"));
        assert!(
            said(quote!(
                fn load();
            ))[0]
                .contains("put `#[transaction]` on its implementations")
        );
    }

    #[test]
    fn half_typed_options_do_not_panic() {
        let halves = ["name", "=", ",", "tags", "()", "(\"a\")", "\"a\"", ".", "op", "root"];
        for first in halves {
            for second in halves {
                for third in halves {
                    let tokens: TokenStream = format!("{first} {second} {third}").parse().expect("tokens");
                    let _ = said(tokens.clone());
                    let _ = expand(TokenStream::new(), tokens);
                }
            }
        }
    }
}
