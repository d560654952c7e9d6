//! From tokens to tokens: whole expansions, and every message.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;

use crate::{expand_block, expand_fn};

/// The texts of the `compile_error!` calls in an expansion.
pub(crate) fn messages(expansion: TokenStream) -> Vec<String> {
    let mut found = Vec::new();
    let mut after_error = 0;
    for token in expansion {
        match token {
            TokenTree::Ident(word) if word == "compile_error" => after_error = 2,
            TokenTree::Punct(_) if after_error == 2 => after_error = 1,
            TokenTree::Group(group) if after_error == 1 => {
                let text: syn::LitStr = syn::parse2(group.stream()).expect("a string literal");
                found.push(text.value());
                after_error = 0;
            }
            TokenTree::Group(group) => found.extend(messages(group.stream())),
            _ => after_error = 0,
        }
    }
    found
}

fn function() -> TokenStream {
    quote! { fn load(order: u64, (total, _): (i64, u8)) -> Result<u64, E> { find(order) } }
}

/// What is said about `#[span(args)]` on a function that is fine.
fn said(args: TokenStream) -> Vec<String> {
    messages(expand_fn::span(args, function()))
}

/// What is said about `#[span]` on an item.
fn said_of(item: TokenStream) -> Vec<String> {
    messages(expand_fn::span(TokenStream::new(), item))
}

fn said_of_block(input: TokenStream) -> Vec<String> {
    messages(expand_block::span(input))
}

#[track_caller]
fn assert_said(said: &[String], expected: &[&str]) {
    assert_eq!(said, expected);
}

/// The constant that holds the crate to its declared lifecycle.
fn lock(check: TokenStream, krate: TokenStream) -> TokenStream {
    quote! {
        #[allow(unused_imports, reason = "a crate need not declare anything")]
        const _: () = {
            use #krate::__private::lock::*;
            { use crate::*; #check::<__SpanLifecycle>() }
        };
    }
}

// behaviour 22
#[test]
fn a_plain_function_gets_one_call_site_and_one_call() {
    let expansion = expand_fn::span(
        TokenStream::new(),
        quote! {
            /// Kept.
            #[inline]
            pub(crate) unsafe extern "C" fn r#load(mut x: u8) { #![allow(unused)] x += 1; half typed. }
        },
    );
    let lock = lock(quote!(__span_streams), quote!(::span_runtime));
    let expected = quote! {
        /// Kept.
        #[inline]
        pub(crate) unsafe extern "C" fn r#load(mut x: u8) {
            #![allow(unused)]
            let __span_held = ::span_runtime::__private::enter({
                #lock
                static __SPAN_SITE: ::span_runtime::__private::Callsite =
                    ::span_runtime::__private::Callsite::new(
                        ::core::concat!(::core::module_path!(), "::", "load")
                    ).op("function");
                &__SPAN_SITE
            });
            { x += 1; half typed. }
        }
    };
    assert_eq!(expansion.to_string(), expected.to_string());
}

// behaviour 22
#[test]
fn a_function_with_a_value_has_its_outcome_looked_at() {
    let expansion = expand_fn::span(
        quote!("db", attributes("sentry.op" = "db", "n" = n + 1), parent = None, source = "task"),
        quote! { fn load(n: u8) -> Result<impl Copy, E> { find(n)? } },
    );
    let lock = lock(quote!(__span_streams), quote!(::span_runtime));
    let expected = quote! {
        fn load(n: u8) -> Result<impl Copy, E> {
            let __span_held = ::span_runtime::__private::enter_values(
                {
                    #lock
                static __SPAN_SITE: ::span_runtime::__private::Callsite =
                        ::span_runtime::__private::Callsite::new("db").source("task").attributes(&[
                            ("sentry.op", ::core::option::Option::Some("db")),
                            ("n", ::core::option::Option::None)
                        ]);
                    &__SPAN_SITE
                },
                ::span_runtime::Parent::ROOT,
                || [::span_runtime::__private::value(&(n + 1))]
            );
            let __span_value = ::span_runtime::__private::call(
                move || -> Result<_, E> { find(n)? }
            );
            if {
                use ::span_runtime::__private::NotAResult as _;
                ::span_runtime::__private::Probe(&__span_value).is_err()
            } {
                __span_held.outcome().failed();
            }
            __span_value
        }
    };
    assert_eq!(expansion.to_string(), expected.to_string());
}

// behaviours 15, 22
#[test]
fn a_value_is_looked_at_where_it_may_be_a_result_or_is_to_be_recorded() {
    let looked_at = |args: TokenStream, item: TokenStream| {
        let text = expand_fn::span(args, item).to_string();
        let (probed, returned) = (text.contains("Probe"), text.contains("returned"));
        (probed, returned)
    };
    for ty in ["u64", "bool", "&str", "(A, B)", "[u8; 4]", "*const u8", "fn()", "(u64)"] {
        let ty: TokenStream = ty.parse().expect("a type");
        assert_eq!(looked_at(quote!(), quote!(fn f() -> #ty { g() })), (false, false), "{ty}");
        assert_eq!(looked_at(quote!(), quote!(async fn f() -> #ty { g() })), (false, false), "{ty}");
        assert_eq!(looked_at(quote!(ret), quote!(fn f() -> #ty { g() })), (true, true), "{ty}");
        assert_eq!(looked_at(quote!(ret), quote!(async fn f() -> #ty { g() })), (true, true), "{ty}");
    }
    for ty in ["Result<u64, E>", "io::Result<()>", "String", "Outcome", "T", "impl Copy", "a::u64", "Self"] {
        let ty: TokenStream = ty.parse().expect("a type");
        assert_eq!(looked_at(quote!(), quote!(fn f() -> #ty { g() })), (true, false), "{ty}");
        assert_eq!(looked_at(quote!(), quote!(async fn f() -> #ty { g() })), (true, false), "{ty}");
    }
    let closure = "move || -> u64 { g () }";
    let text = expand_fn::span(
        quote!(),
        quote!(
            fn f() -> u64 {
                g()
            }
        ),
    )
    .to_string();
    assert!(text.ends_with(&format!("call ({closure}) }}")), "{text}");
}

// behaviour 22
#[test]
fn a_block_stays_a_block() {
    let expansion = expand_block::span(quote!("x", crate = other::path, {
        f()?;
    }));
    let lock = lock(quote!(__span_block_streams), quote!(other::path));
    let expected = quote! {{
        let __span_held = other::path::__private::enter({
            #lock
                static __SPAN_SITE: other::path::__private::Callsite =
                other::path::__private::Callsite::new("x");
            &__SPAN_SITE
        });
        { f()?; }
    }};
    assert_eq!(expansion.to_string(), expected.to_string());
}

// behaviour 3
#[test]
fn every_expansion_asks_for_the_lifecycle_once() {
    let once = |expansion: TokenStream, check| {
        let text = expansion.to_string();
        let lock = lock(check, quote!(::span_runtime)).to_string();
        assert_eq!(text.matches(&lock).count(), 1, "{text}");
        assert_eq!(text.matches("__SpanLifecycle").count(), 1, "{text}");
    };
    for (args, item) in [
        (quote!(), quote! { async fn f<T>(&self) -> T { g() } }),
        (quote!(root), quote! { fn f() -> BoxFuture<u8> { Box::pin(async move { 1 }) } }),
        (quote!(inactive), quote! { fn f(x: u8) -> BoxFuture<u8> { let y = x; async move { y } } }),
        (quote!(stream), quote! { fn f() -> impl Stream { g() } }),
        (quote!(err, ret), quote! { fn f() -> Result<(), E> { g() } }),
    ] {
        once(expand_fn::span(args, item), quote!(__span_streams));
    }
    for input in [quote!("x", { f() }), quote!("x", root, async move { f() })] {
        once(expand_block::span(input), quote!(__span_block_streams));
    }
}

// behaviour 20
#[test]
fn an_item_with_a_mistake_is_emitted_unchanged() {
    let expansion = expand_fn::span(quote!(nam = "x"), function()).to_string();
    assert!(expansion.starts_with(&function().to_string()), "{expansion}");
    let expansion = expand_block::span(quote!("", { f(x) })).to_string();
    assert!(expansion.ends_with("{ f (x) } }"), "{expansion}");
}

// behaviour 20
#[test]
fn without_the_runtime_the_body_is_all_there_is() {
    let alone = |input| expand_block::body_alone(input).to_string();
    assert_eq!(alone(quote!("x", "k" = v, { f() })), "{ f () }");
    assert_eq!(alone(quote!(<"x"> async move { f() },)), "async move { f () }");
    assert_eq!(alone(quote!(nonsense = 1, { f().await })), "{ f () . await }");
}

// behaviour 20
#[test]
fn all_mistakes_of_one_attribute_are_reported() {
    assert_said(
        &said(quote!(name = "", nme = 1, source = "rote", root, root, args(x), parent = p)),
        &[
            "the name is empty: say what the span does",
            "unknown option `nme`, did you mean `name`? `#[span]` takes `name`, `attributes`, \
             `args`, `parent`, `root`, `inactive`, `err`, `ret`, `source`, `stream`, `crate`",
            "unknown source \"rote\", did you mean \"route\"? it is one of \"custom\", \"url\", \
             \"route\", \"view\", \"component\", \"task\"",
            "`root` is given twice",
            "`parent` does not go with `root`: a root has no parent",
            "no argument is called `x`; there is `order`, `total`",
        ],
    );
}

// behaviour 19
#[test]
fn legacy_words_name_what_replaces_them() {
    assert_said(
        &said(quote!(op = "db", description = "load", tags(a = 1), data = d, transaction = t)),
        &[
            "`op` belongs to the legacy API; write `attributes(\"sentry.op\" = \"db\")`",
            "`description` belongs to the legacy API; write `name = \"load\"`",
            "`tags` belongs to the legacy API; write `attributes(\"key\" = value)`",
            "`data` belongs to the legacy API; write `attributes(\"key\" = value)`",
            "`transaction` belongs to the legacy API; write `name = …`",
        ],
    );
    assert_said(
        &said_of_block(quote!("x", op = "db", description = "y", set_tag("a", 1), {})),
        &[
            "`op` belongs to the legacy API; write `\"sentry.op\" = \"db\"`",
            "`description` belongs to the legacy API; the name is the first argument: \
             `span!(\"y\", { … })`",
            "`set_tag` belongs to the legacy API; write `\"key\" = value`",
        ],
    );
    assert_said(
        &said(quote!(start_child("db", "load"), finish, set_transaction_name = n, status = Ok, set_status(x))),
        &[
            "`start_child` belongs to the legacy API; a span that starts while another is current is its child",
            "`finish` belongs to the legacy API; a span ends when its function is left",
            "`set_transaction_name` belongs to the legacy API; write `name = …`",
            "`status` belongs to the legacy API; an `Err` sets the status `error`; for any other reason call \
             `current_span().set_status(Status::Error)`",
            "`set_status` belongs to the legacy API; an `Err` sets the status `error`; for any other reason call \
             `current_span().set_status(Status::Error)`",
        ],
    );
    assert_said(
        &said_of_block(quote!("x", finish, start_child("db", "load"), set_transaction_name("y"), {})),
        &[
            "`finish` belongs to the legacy API; a span ends when its block is left",
            "`start_child` belongs to the legacy API; a span that starts while another is current is its child",
            "`set_transaction_name` belongs to the legacy API; the name is the first argument: \
             `span!(\"name\", { … })`",
        ],
    );
    // As a part of a key they are anybody's words, and some are so as a whole key.
    assert_said(&said_of_block(quote!("x", status = code, finish = line, {})), &[]);
    assert_said(&said(quote!(attributes(op = 1, data.tags = 2))), &[]);
    assert_said(&said_of_block(quote!("x", data.tags = 2, "op" = 3, {})), &[]);
}

#[test]
fn values_are_asked_for_and_refused() {
    assert_said(
        &said(quote!(name, source =, root = true, args, attributes("a"), err(x), 5)),
        &[
            "`name` takes a value: write `name = …`",
            "expected the value of `source` after `=`",
            "`root` takes no value: write `root` alone",
            "`args` takes a list: write `args(order, total)`",
            "`a` has no value: write `\"a\" = value`",
            "`err` takes no value: write `err` alone",
            "expected an option such as `name = \"…\"` or `attributes(\"key\" = value)`",
        ],
    );
    assert_said(
        &said(quote!(name = 5, attributes("" = 1, 3 = 4, "k" =), args(self, 7), source = s)),
        &[
            "a name is text: write a string literal or an expression that gives a string",
            "the key is empty",
            "expected a key: a string literal such as `\"order.id\"`, or names joined by dots such as `order.id`",
            "expected the value of `k` after `=`",
            "`self` is not recorded as a whole; write `attributes(\"key\" = self.field)`",
            "expected the name of an argument; for any other value write `attributes(\"key\" = value)`",
            "`source` is fixed when the program is compiled: write a string literal",
        ],
    );
}

#[test]
fn keys_and_names_are_given_once() {
    assert_said(
        &said(quote!("x", name = "y", attributes("a" = 1, a = 2, "order" = 3), args(order, order))),
        &[
            "`name` is given twice",
            "the key `a` is given twice",
            "the key `order` is given twice",
            "the key `order` is given twice",
        ],
    );
}

#[test]
fn conflicts_are_reported_at_the_later_word() {
    assert_said(
        &said(quote!(stream, ret, err, inactive)),
        &[
            "`err` does not go with `stream`: a stream is not a result",
            "`ret` does not go with `stream`: a stream has no value to record",
            "`inactive` does not go with `stream`: a stream is polled inside of its span",
        ],
    );
    assert_said(
        &messages(expand_fn::span(
            quote!(err, ret, stream),
            quote!(
                async fn f() {}
            ),
        )),
        &[
            "`stream` does not go with `err`: a stream is not a result",
            "`stream` does not go with `ret`: a stream has no value to record",
            "`err` needs a function that returns a `Result`",
            "`ret` needs a function that returns a value",
            "`stream` needs a function that returns a stream",
            "`stream` covers a stream that a plain function returns; remove `async`, or leave \
             `stream` out to cover the future",
        ],
    );
}

// behaviour 20
#[test]
fn other_items_are_told_apart() {
    for (item, expected) in [
        (
            quote!(
                pub struct S;
            ),
            "functions, and this `struct` is none; put it on functions and methods that work with the type",
        ),
        (
            quote!(
                #[a]
                unsafe impl A for B {}
            ),
            "functions, and this `impl` is none; put it on its methods",
        ),
        (
            quote!(
                pub(crate) trait T {}
            ),
            "functions, and this `trait` is none; put it on methods that have a default body, or on their implementations",
        ),
        (
            quote!(
                mod m;
            ),
            "functions, and this `mod` is none; put it on the functions of the module",
        ),
        (
            quote!(
                const LIMIT: u8 = 1;
            ),
            "functions, and this `const` is none; to run anything else in a span, write `span!(\"name\", { … })`",
        ),
        (
            quote!(
                extern crate alloc;
            ),
            "functions, and this is none; to run anything else in a span, write `span!(\"name\", { … })`",
        ),
        (quote!(|x| x), "functions, and this is none; to run anything else in a span, write `span!(\"name\", { … })`"),
        (
            quote!(let x = 1;),
            "functions, and this is none; to run anything else in a span, write `span!(\"name\", { … })`",
        ),
        (quote!(), "functions, and this is none; to run anything else in a span, write `span!(\"name\", { … })`"),
    ] {
        assert_said(&said_of(item), &[&format!("`#[span]` goes on {expected}")]);
    }
}

#[test]
fn functions_that_cannot_have_a_span() {
    assert_said(
        &said_of(quote!(
            fn f(&self);
        )),
        &["this function has no body to run; put `#[span]` on its implementations"],
    );
    assert_said(
        &said_of(quote!(
            const fn f() {}
        )),
        &["a `const fn` may run when the program is compiled, where there is no clock and no \
           span; remove `const`, or write `span!(\"name\", { … })` around its calls"],
    );
}

#[test]
fn every_qualifier_is_a_functions() {
    for item in [
        quote!(default fn f() {}),
        quote!(
            pub(in a::b) async unsafe extern "C" fn f() {}
        ),
        quote!(
            #[a(b)]
            extern "C" fn f(x: u8, ...) {}
        ),
    ] {
        assert_said(&said_of(item), &[]);
    }
}

// behaviour 21
#[test]
fn what_can_be_wrong_with_a_block() {
    let missing_block = "the block is missing: it is the last argument, as in `span!(\"name\", { … })`";
    let missing_name = "the name is missing: it is the first argument, as in `span!(\"name\", { … })`";
    for (input, expected) in [
        (quote!(), missing_block),
        (quote!("x"), missing_block),
        (quote!("x", f()), missing_block),
        (quote!(<"x">), missing_block),
        (quote!({}), missing_name),
        (quote!("k" = 1, {}), missing_name),
        (quote!(name = "x", {}), "the name is the first argument, without a word before it: `span!(\"name\", { … })`"),
        (quote!(<> {}), missing_name),
        (quote!("x" {}), "expected `,` between this and the block of `span!`"),
        (quote!(<"x" {}), "expected `>` between this and the block of `span!`"),
        (quote!("x", {}, "k" = 1), "the block is the last argument of `span!`: move what follows it before it"),
        (quote!("", {}), "the name is empty: say what the span does"),
        (
            quote!("x", name = "y", {}),
            "the name is the first argument, without a word before it: `span!(\"name\", { … })`",
        ),
        (quote!("x", attributes("a" = 1), {}), "in `span!` attributes stand for themselves: write `\"key\" = value`"),
        (quote!("x", err, {}), "this option belongs to `#[span]`; a block's value is not recorded"),
        (
            quote!("x", inactiv, {}),
            "unknown option `inactiv`, did you mean `inactive`? `span!` takes `parent`, `root`, \
             `inactive`, `source`, `crate`",
        ),
        (quote!("x", parent = p, root, {}), "`root` does not go with `parent`: a root has no parent"),
        (
            quote!("x", { f().await }),
            "`.await` in a `span!` block would leave the span current on this thread while other \
             tasks run; write `span!(\"name\", async { … }).await`",
        ),
    ] {
        assert_said(&said_of_block(input), &[expected]);
    }
}

#[test]
fn forms_of_a_block_that_are_fine() {
    for input in [
        quote!(format!("{x}"), { 1 }),
        quote!(<T as Named>::NAME, { 1 }),
        quote!(<<T as Named>::NAME, "a" = b > c> { 1 }),
        quote!(root, { 1 }),
        quote!("x", err = 3, name.first = 4, root, inactive, source = "url", async move { a.await },),
        quote!("x", "a" = { 1 }, "b" = vec.iter().collect::<Map<_, _>>(), {}),
    ] {
        assert_said(&said_of_block(input), &[]);
    }
}

// behaviour 3
#[test]
fn a_transaction_on_the_same_function_is_refused_and_taken_off() {
    let item = quote! {
        /// Kept.
        #[::span_runtime::transaction(op = "db")]
        #[inline]
        fn load() {}
    };
    let expansion = expand_fn::span(TokenStream::new(), item).to_string();
    assert!(!expansion.contains("op"), "{expansion}");
    assert!(expansion.contains("inline") && expansion.contains("Kept") && expansion.contains("fn load"), "{expansion}");
    let said = said_of(quote!(
        #[transaction]
        fn load() {}
    ));
    let expected = "a function has one lifecycle: `#[span]` streams and `#[transaction]` does not; remove one of them";
    assert_said(&said, &[expected]);
    // Another attribute that only ends in a similar word is left alone.
    assert_said(
        &said_of(quote!(
            #[db::in_transaction]
            fn load() {}
        )),
        &[],
    );
}

#[test]
fn half_typed_options_do_not_panic() {
    let halves = ["name", "=", ",", "attributes", "(", "\"a\"", ".", "args", "<", "async", "x"];
    for first in halves {
        for second in halves {
            for third in halves {
                let text = format!("{first} {second} {third}").replace('(', "()");
                let Ok(tokens) = text.parse::<TokenStream>() else {
                    continue;
                };
                let _ = said(tokens.clone());
                let _ = said_of(tokens.clone());
                let _ = said_of_block(quote!(#tokens {}));
                let _ = said_of_block(tokens);
            }
        }
    }
}
