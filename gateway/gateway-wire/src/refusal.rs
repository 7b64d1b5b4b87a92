//! Why a message is refused: one word for each kind of fault, stable, for logs and metrics.

/// What is wrong with a message. Each fault is one that two readers could read in two ways, or that nobody may send.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// A carriage return without a line feed.
    BareCr,
    /// A line feed without a carriage return.
    BareLf,
    /// NUL, another control byte, or DEL.
    ControlByte,
    /// A header line that goes on in the next line (RFC 9112, section 5.2).
    FoldedLine,
    /// A header line without a name, without a colon, or with a name that is no token.
    HeaderName,
    /// Space between a header's name and its colon.
    SpaceBeforeColon,
    /// A header name that is another one once `_` is read as `-`.
    UnderscoreName,
    /// A header that belongs to a connection of HTTP/1, in HTTP/2.
    ConnectionHeader,
    /// A header value with space around it, where there is nothing to trim it.
    HeaderValue,
    /// A first line that is not `METHOD TARGET VERSION`.
    RequestLine,
    /// A request target that is none of the four forms, or has bytes that none may have.
    Target,
    /// `CONNECT`, which asks for a tunnel to somewhere else.
    Connect,
    /// A version other than HTTP/1.0 and HTTP/1.1.
    Version,
    /// `content-length` beside `transfer-encoding`.
    LengthAndCoding,
    /// `content-length` that is repeated, or is not one plain number.
    ContentLength,
    /// `transfer-encoding` that is repeated, or no list of names.
    TransferEncoding,
    /// A transfer coding other than `chunked`.
    TransferCoding,
    /// `transfer-encoding` in a message of HTTP/1.0, which has none.
    CodingInHttp10,
    /// A request of HTTP/1.1 without `host`.
    HostMissing,
    /// More than one `host`.
    HostRepeated,
    /// A host that is no host: user information, a slash, a space, a bad port.
    Host,
    /// `host` and `:authority` differ.
    HostMismatch,
    /// A head over the limit of bytes.
    HeadTooLarge,
    /// A head over the limit of header lines.
    TooManyHeaders,
    /// A chunk size that is no plain hexadecimal number.
    ChunkSize,
    /// A chunk that does not end with CR LF.
    ChunkEnd,
    /// More bytes of chunk extensions than anybody reads.
    ChunkExtensions,
    /// Trailers over the limits.
    Trailers,
    /// A first line of a response that is none.
    StatusLine,
    /// A status below 100 or above 599.
    Status,
    /// A body with a status that has none.
    BodyNotAllowed,
    /// More interim responses than anybody waits for.
    TooManyInterim,
    /// `101` that nobody asked for.
    UnaskedSwitch,
    /// Bytes that belong to no response.
    Surplus,
}

impl Refusal {
    /// The word for it, of a request.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.words().0
    }

    /// The word for it, of a response of an upstream.
    #[must_use]
    pub const fn upstream_word(self) -> &'static str {
        self.words().1
    }

    const fn words(self) -> (&'static str, &'static str) {
        macro_rules! words {
            ($word:literal) => {
                ($word, concat!("upstream_", $word))
            };
        }
        match self {
            Self::BareCr => words!("bare_cr"),
            Self::BareLf => words!("bare_lf"),
            Self::ControlByte => words!("control_byte"),
            Self::FoldedLine => words!("folded_line"),
            Self::HeaderName => words!("header_name"),
            Self::SpaceBeforeColon => words!("space_before_colon"),
            Self::UnderscoreName => words!("underscore_name"),
            Self::ConnectionHeader => words!("connection_header"),
            Self::HeaderValue => words!("header_value"),
            Self::RequestLine => words!("request_line"),
            Self::Target => words!("target"),
            Self::Connect => words!("connect"),
            Self::Version => words!("version"),
            Self::LengthAndCoding => words!("length_and_coding"),
            Self::ContentLength => words!("content_length"),
            Self::TransferEncoding => words!("transfer_encoding"),
            Self::TransferCoding => words!("transfer_coding"),
            Self::CodingInHttp10 => words!("coding_in_http_1_0"),
            Self::HostMissing => words!("host_missing"),
            Self::HostRepeated => words!("host_repeated"),
            Self::Host => words!("host"),
            Self::HostMismatch => words!("host_mismatch"),
            Self::HeadTooLarge => words!("head_too_large"),
            Self::TooManyHeaders => words!("too_many_headers"),
            Self::ChunkSize => words!("chunk_size"),
            Self::ChunkEnd => words!("chunk_end"),
            Self::ChunkExtensions => words!("chunk_extensions"),
            Self::Trailers => words!("trailers"),
            Self::StatusLine => words!("status_line"),
            Self::Status => words!("status"),
            Self::BodyNotAllowed => words!("body_not_allowed"),
            Self::TooManyInterim => words!("too_many_interim"),
            Self::UnaskedSwitch => words!("unasked_switch"),
            Self::Surplus => words!("surplus"),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "the message is refused: {}", self.word())
    }
}

impl std::error::Error for Refusal {}
