//! How a transaction or one of its spans ended.

macro_rules! statuses {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// How a transaction or a child span ended. (span status, Sentry's event documents)
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum SpanStatus {
            $($(#[$doc])* $variant,)*
        }

        impl SpanStatus {
            /// The status as it is sent.
            ///
            /// ```
            /// assert_eq!(span_runtime::legacy::SpanStatus::NotFound.as_str(), "not_found");
            /// ```
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(SpanStatus::$variant => $name,)*
                }
            }
        }
    };
}

statuses! {
    /// It went well.
    Ok = "ok";
    /// It took longer than it was given.
    DeadlineExceeded = "deadline_exceeded";
    /// Whoever asked did not say who it is. (401)
    Unauthenticated = "unauthenticated";
    /// Whoever asked may not. (403)
    PermissionDenied = "permission_denied";
    /// There is no such thing. (404)
    NotFound = "not_found";
    /// There were too many requests. (429)
    ResourceExhausted = "resource_exhausted";
    /// The request made no sense. (4xx)
    InvalidArgument = "invalid_argument";
    /// It is not implemented. (501)
    Unimplemented = "unimplemented";
    /// Somebody who was needed is not there. (503)
    Unavailable = "unavailable";
    /// Something went wrong inside. (5xx)
    InternalError = "internal_error";
    /// Something went wrong, and nobody knows what.
    UnknownError = "unknown_error";
    /// It was given up, by whoever asked for it as a rule.
    Cancelled = "cancelled";
    /// It is there already. (409)
    AlreadyExists = "already_exists";
    /// The state of things did not allow it.
    FailedPrecondition = "failed_precondition";
    /// It was stopped, because of a conflict as a rule.
    Aborted = "aborted";
    /// It went beyond the end.
    OutOfRange = "out_of_range";
    /// Data are lost for ever.
    DataLoss = "data_loss";
}
