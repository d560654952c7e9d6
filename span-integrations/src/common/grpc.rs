//! How calls of gRPC end. (the codes are gRPC's, in `statuscodes.md` of its documents)

use span_runtime::Status;

/// The header, or trailer, with the code.
pub(crate) const STATUS: &str = "grpc-status";

/// The names of the codes, by number.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A code that a call ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(&'static str);

impl Code {
    /// The code in a header. What is none counts as `UNKNOWN`.
    pub(crate) fn of(header: &[u8]) -> Self {
        let number = std::str::from_utf8(header).ok().and_then(|text| text.parse::<usize>().ok());
        Code(number.and_then(|number| NAMES.get(number)).unwrap_or(&"UNKNOWN"))
    }

    pub(crate) fn name(self) -> &'static str {
        self.0
    }

    /// All but `OK` are failures.
    pub(crate) fn status(self) -> Status {
        if self.0 == "OK" { Status::Ok } else { Status::Error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_by_number() {
        for (header, name) in [
            ("0", "OK"),
            ("5", "NOT_FOUND"),
            ("16", "UNAUTHENTICATED"),
            ("17", "UNKNOWN"),
            ("-1", "UNKNOWN"),
            ("", "UNKNOWN"),
        ] {
            assert_eq!(Code::of(header.as_bytes()).name(), name, "{header}");
        }
        assert_eq!(Code::of(b"0").status(), Status::Ok);
        assert_eq!(Code::of(b"2").status(), Status::Error);
        assert_eq!(Code::of(b"\xff").name(), "UNKNOWN");
    }
}
