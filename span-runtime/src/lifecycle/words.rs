//! Words of the legacy API on the types of the streaming one. Whoever moves code over types them by habit; instead of "no method named
//! `finish`" the compiler says what to write. None of them can be called: no type outside of this file implements their traits.

/// Declares what a word's message says.
macro_rules! words {
    ($($word:ident = $message:literal, $label:literal;)*) => {
        $(
            #[diagnostic::on_unimplemented(message = $message, label = $label)]
            #[allow(missing_docs, reason = "its message is its documentation")]
            pub trait $word {}

            // Without any, the compiler would suggest to write one.
            #[diagnostic::do_not_recommend]
            impl $word for Nobody {}
        )*
    };
}

/// What no value is of.
#[allow(dead_code, reason = "it is only named")]
struct Nobody(());

words! {
    StartChild = "`start_child` belongs to the legacy API", "write `start_span(name).parent(&span).start()`, or `span!(name, {{ … }})` for a child of the current span";
    Finish = "`finish` belongs to the legacy API", "a span ends when it is dropped, or by `end()`";
    SetOp = "`set_op` belongs to the legacy API", "write `set_attribute(\"sentry.op\", op)`";
    SetDescription = "`set_description` belongs to the legacy API", "write `set_name(name)`: a span has a name and no description";
    SetTag = "`set_tag` belongs to the legacy API", "write `set_attribute(key, value)`: tags and data are attributes";
    SetData = "`set_data` belongs to the legacy API", "write `set_attribute(key, value)`: tags and data are attributes";
    SetTransactionName = "`set_transaction_name` belongs to the legacy API", "write `set_name(name)` on the span itself: there is no transaction";
    Op = "`op` belongs to the legacy API", "write `attribute(\"sentry.op\", op)`";
    Description = "`description` belongs to the legacy API", "write `start_span(name)`: a span has a name and no description";
    Tag = "tags belong to the legacy API", "write `attribute(key, value)`: tags and data are attributes";
    Data = "data belongs to the legacy API", "write `attribute(key, value)`: tags and data are attributes";
}

/// The words on a span that has started: a span, a guard, a handle, the current span.
macro_rules! legacy_words {
    (span) => {
        #[doc(hidden)]
        pub fn start_child<O, D>(&self, _: O, _: D) -> $crate::Span
        where
            (O, D): $crate::lifecycle::words::StartChild,
        {
            $crate::Span::nothing()
        }

        #[doc(hidden)]
        pub fn finish<L>(self)
        where
            Option<L>: $crate::lifecycle::words::Finish,
        {
        }

        #[doc(hidden)]
        pub fn set_op<O: $crate::lifecycle::words::SetOp>(&self, _: O) {}

        #[doc(hidden)]
        pub fn set_description<D: $crate::lifecycle::words::SetDescription>(&self, _: D) {}

        #[doc(hidden)]
        pub fn set_tag<K: $crate::lifecycle::words::SetTag, V>(&self, _: K, _: V) {}

        #[doc(hidden)]
        pub fn set_data<K: $crate::lifecycle::words::SetData, V>(&self, _: K, _: V) {}

        #[doc(hidden)]
        pub fn set_transaction_name<N: $crate::lifecycle::words::SetTransactionName>(&self, _: N) {}
    };
    (builder) => {
        #[doc(hidden)]
        pub fn op<O: $crate::lifecycle::words::Op>(self, _: O) -> Self {
            self
        }

        #[doc(hidden)]
        pub fn description<D: $crate::lifecycle::words::Description>(self, _: D) -> Self {
            self
        }

        #[doc(hidden)]
        pub fn tag<K: $crate::lifecycle::words::Tag, V>(self, _: K, _: V) -> Self {
            self
        }

        #[doc(hidden)]
        pub fn tags<T: $crate::lifecycle::words::Tag>(self, _: T) -> Self {
            self
        }

        #[doc(hidden)]
        pub fn data<K: $crate::lifecycle::words::Data, V>(self, _: K, _: V) -> Self {
            self
        }
    };
}
pub(crate) use legacy_words;
