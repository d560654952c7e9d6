//! Requests read from a connection: the part of HTTP/1.1 that a server needs to take a POST.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Instant, SystemTime};

/// The longest head, and the longest list of trailers, in bytes.
const MAX_HEAD: usize = 64 << 10;
/// The longest body, in bytes: above the 200 MiB that Relay itself takes.
const MAX_BODY: usize = 256 << 20;

/// One request as it came.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// The method, such as `POST`.
    pub method: String,
    /// The request's target as sent, with its query.
    pub path: String,
    /// The headers in order, names as sent.
    pub headers: Vec<(String, String)>,
    /// The body without its transfer encoding, still with its content encoding.
    pub body: Vec<u8>,
    /// When the body was complete, by the wall clock.
    pub arrived: SystemTime,
    /// When the body was complete, by the monotonic clock.
    pub arrived_instant: Instant,
    /// Which of the receiver's connections brought it, counted from 0.
    pub connection: u64,
    /// Whether the client wants the connection kept open.
    pub(super) keep_alive: bool,
}

impl Request {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// All headers of this name, in order.
    pub(super) fn headers<'r, 'n>(&'r self, name: &'n str) -> impl Iterator<Item = &'r str> + use<'r, 'n> {
        let named = move |(given, _): &&(String, String)| given.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|(_, value)| value.as_str())
    }
}

/// Why no request could be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The client broke off, or the receiver is being dropped.
    Gone,
    /// What came is not HTTP that we read; the status to answer, and why.
    Malformed(u16, String),
}

impl From<io::Error> for ReadError {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Reads the next request; `None` if the client closed the connection between requests.
pub(super) fn read_request(reader: &mut BufReader<&TcpStream>, connection: u64) -> Result<Option<Request>, ReadError> {
    let mut budget = MAX_HEAD;
    let mut line = read_line(reader, &mut budget)?;
    if line.as_deref() == Some("") {
        // RFC 9112 section 2.2: one empty line before a request is to be skipped.
        line = read_line(reader, &mut budget)?;
    }
    let Some(line) = line else { return Ok(None) };
    let mut parts = line.split(' ');
    let (Some(method), Some(path), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed(format_args!("the request line must be method, target and version, found {line:?}")));
    };
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err(malformed(format_args!("the version must be HTTP/1.1 or HTTP/1.0, found {version:?}")));
    }
    let headers = read_headers(reader, &mut budget)?;
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        headers,
        body: Vec::new(),
        arrived: SystemTime::now(),
        arrived_instant: Instant::now(),
        connection,
        keep_alive: false,
    };
    request.keep_alive = match version {
        "HTTP/1.1" => !has_token(&request, "connection", "close"),
        _ => has_token(&request, "connection", "keep-alive"),
    };
    if has_token(&request, "expect", "100-continue") {
        let mut stream: &TcpStream = reader.get_ref();
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    request.body = read_body(reader, &request)?;
    request.arrived = SystemTime::now();
    request.arrived_instant = Instant::now();
    Ok(Some(request))
}

fn malformed(why: impl ToString) -> ReadError {
    ReadError::Malformed(400, why.to_string())
}

fn has_token(request: &Request, name: &str, token: &str) -> bool {
    request.headers(name).flat_map(|value| value.split(',')).any(|given| given.trim().eq_ignore_ascii_case(token))
}

fn read_headers(reader: &mut BufReader<&TcpStream>, budget: &mut usize) -> Result<Vec<(String, String)>, ReadError> {
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader, budget)?.ok_or(ReadError::Gone)?;
        if line.is_empty() {
            return Ok(headers);
        }
        // A name must reach to its colon, which also refuses folded lines.
        match line.split_once(':') {
            Some((name, value)) if !name.is_empty() && !name.contains([' ', '\t']) => {
                headers.push((name.to_owned(), value.trim().to_owned()));
            }
            _ => return Err(malformed(format_args!("a header must be name, colon and value, found {line:?}"))),
        }
    }
}

fn read_body(reader: &mut BufReader<&TcpStream>, request: &Request) -> Result<Vec<u8>, ReadError> {
    let lengths: Vec<&str> = request.headers("content-length").collect();
    let codings: Vec<&str> = request.headers("transfer-encoding").collect();
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(Vec::new()),
        ([length], []) => {
            let digits = length.bytes().all(|byte| byte.is_ascii_digit());
            match length.parse::<usize>().ok().filter(|_| digits) {
                Some(length) => read_exactly(reader, length, Vec::new()),
                None => Err(malformed(format_args!("Content-Length must be a number, found {length:?}"))),
            }
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => read_chunks(reader),
        _ => Err(malformed(format_args!(
            "a body must have one Content-Length or Transfer-Encoding: chunked, found {lengths:?} and {codings:?}"
        ))),
    }
}

/// Appends the next `length` bytes to the body. Room is made as they come, not as announced.
fn read_exactly(reader: &mut BufReader<&TcpStream>, length: usize, mut body: Vec<u8>) -> Result<Vec<u8>, ReadError> {
    if length > MAX_BODY - body.len() {
        return Err(ReadError::Malformed(413, format!("a body must have at most {MAX_BODY} bytes")));
    }
    let read = reader.take(length as u64).read_to_end(&mut body)?;
    if read < length { Err(ReadError::Gone) } else { Ok(body) }
}

fn read_chunks(reader: &mut BufReader<&TcpStream>) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    loop {
        let mut budget = MAX_HEAD;
        let line = read_line(reader, &mut budget)?.ok_or(ReadError::Gone)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        // `from_str_radix` takes a sign, which a chunk must not have.
        let hex = size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Some(length) = usize::from_str_radix(size, 16).ok().filter(|_| hex) else {
            return Err(malformed(format_args!("a chunk must begin with its size in hex, found {line:?}")));
        };
        if length == 0 {
            // Trailers have headers' form, and mean nothing to us.
            read_headers(reader, &mut budget)?;
            return Ok(body);
        }
        body = read_exactly(reader, length, body)?;
        let mut end = [0; 2];
        reader.read_exact(&mut end)?;
        if end != *b"\r\n" {
            return Err(malformed("a chunk must end with a line break after its bytes"));
        }
    }
}

/// Reads a line without its break, and takes its bytes off the budget; `None` at the end.
fn read_line(reader: &mut BufReader<&TcpStream>, budget: &mut usize) -> Result<Option<String>, ReadError> {
    let mut line = Vec::new();
    let read = reader.take(*budget as u64).read_until(b'\n', &mut line)?;
    if read == 0 && *budget > 0 {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        // Either the budget is used up or the client broke off within the line.
        if read < *budget {
            return Err(ReadError::Gone);
        }
        return Err(ReadError::Malformed(431, format!("a head must have at most {MAX_HEAD} bytes")));
    }
    *budget -= read;
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map(Some).map_err(|error| malformed(format_args!("a head must be UTF-8: {error}")))
}
