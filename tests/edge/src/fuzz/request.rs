//! Requests, each a function of the seed and its number.

use std::fmt;

use fastrand::Rng;

use super::{
    document::{Document, Operation},
    headers, mutate, raw, target,
    values::Values,
};

/// Generates requests from the documents of the services.
#[derive(Debug)]
pub struct Generator {
    seed: u64,
    documents: Vec<Document>,
    credentials: Vec<String>,
}

/// One request.
#[derive(Clone, PartialEq, Eq)]
pub struct FuzzRequest {
    /// Its number; with the seed, it identifies the request.
    pub number: u64,
    /// The index of the service that it is for.
    pub service: usize,
    /// The index of the operation that it reaches, if that is certain.
    pub operation: Option<usize>,
    /// What is sent.
    pub bytes: Vec<u8>,
    /// How it is sent, and what is expected.
    pub kind: Kind,
}

/// How a request is sent, and what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Well-formed HTTP: exactly one response.
    Whole,
    /// The same, but the response to a HEAD, which has no body.
    Head,
    /// Several well-formed requests at once: as many responses.
    Pipelined(usize),
    /// Arbitrary bytes, after which the client closes its half of the connection: any number of responses.
    Cut,
    /// Arbitrary bytes, after which the client waits until the service answers or closes the connection.
    Silent,
}

/// A request whose parts can still be changed.
pub(super) struct Draft {
    pub(super) method: String,
    pub(super) target: Vec<u8>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) chunked: bool,
    pub(super) operation: Option<usize>,
}

/// Methods that no or few routes have.
const METHODS: &[&str] =
    &["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "get", "G", "M-SEARCH", "PRI", "GET", "POST"];

impl Generator {
    /// Creates a generator for the services with these documents. `credentials` are valid values of `Authorization`.
    #[must_use]
    pub fn new(seed: u64, documents: Vec<Document>, credentials: Vec<String>) -> Self {
        Self { seed, documents, credentials }
    }

    /// Returns the seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the document of a service.
    #[must_use]
    pub fn document(&self, service: usize) -> &Document {
        &self.documents[service]
    }

    /// Returns the operation that the request reaches, if that is certain.
    #[must_use]
    pub fn operation(&self, request: &FuzzRequest) -> Option<&Operation> {
        request.operation.map(|operation| &self.documents[request.service].operations[operation])
    }

    /// Returns the request with this number.
    #[must_use]
    pub fn request(&self, number: u64) -> FuzzRequest {
        // Neighbouring seeds give unrelated sequences only after the bits are mixed.
        let mixed = Rng::with_seed(number ^ self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)).u64(..);
        let mut rng = Rng::with_seed(mixed);
        let service = rng.usize(..self.documents.len());
        let mut values = Values { document: &self.documents[service], rng: &mut rng };
        let draft = self.draft(&mut values);
        let of = |operation, bytes, kind| FuzzRequest { number, service, operation, bytes, kind };
        match values.rng.u8(..100) {
            0..8 => {
                let mut draft = draft;
                if draft.method == "HEAD" {
                    // Of several responses, those without a body could not be told from the others.
                    draft.method = "GET".to_owned();
                }
                let bytes = raw::malformed(values.rng, &draft);
                // The service's time limits are the only end of these.
                let kind = if values.rng.u16(..400) == 0 { Kind::Silent } else { Kind::Cut };
                of(None, bytes, kind)
            }
            8..10 => {
                let more: Vec<_> = (0..values.rng.usize(1..6)).map(|_| self.draft(&mut values)).collect();
                let all = || std::iter::once(&draft).chain(&more);
                if !all().all(Draft::can_be_pipelined) {
                    return of(draft.operation, draft.to_bytes(), draft.kind());
                }
                let bytes = all().flat_map(Draft::to_bytes).collect();
                of(None, bytes, Kind::Pipelined(1 + more.len()))
            }
            _ => of(draft.operation, draft.to_bytes(), draft.kind()),
        }
    }

    /// Returns a well-formed request in the sense of HTTP.
    fn draft(&self, values: &mut Values<'_>) -> Draft {
        let number = self.choose(values);
        let operation = &values.document.operations[number];
        let mut draft = Draft {
            method: operation.method.clone(),
            target: Vec::new(),
            headers: Vec::new(),
            body: None,
            chunked: values.percent(10),
            operation: Some(number),
        };
        let odd_target = values.percent(25);
        target::build(values, operation, odd_target, &mut draft);
        self.body(values, operation, &mut draft);
        let odd_headers = values.percent(30);
        headers::build(values, operation, &self.credentials, odd_headers, &mut draft);
        if values.percent(5) {
            draft.method = values.pick(METHODS).to_owned();
            let is_head = draft.method == "HEAD" && operation.method == "GET";
            draft.operation = draft.operation.filter(|_| is_head || draft.method == operation.method);
        }
        draft
    }

    /// Chooses an operation: those that change something come more often.
    fn choose(&self, values: &mut Values<'_>) -> usize {
        let operations = &values.document.operations;
        let first = values.rng.usize(..operations.len());
        let second = values.rng.usize(..operations.len());
        if operations[first].method == "GET" && operations[second].body.is_some() { second } else { first }
    }

    fn body(&self, values: &mut Values<'_>, operation: &Operation, draft: &mut Draft) {
        let Some(schema) = &operation.body else {
            if values.percent(5) {
                draft.body = Some(values.odd(&serde_json::Value::Null).into_bytes());
            }
            return;
        };
        let damaged = values.percent(40);
        let mut body = values.object(schema, damaged).into_bytes();
        match values.rng.u8(..100) {
            0..12 => mutate::mutate(values.rng, &mut body),
            12..16 => mutate::replace(values.rng, &mut body),
            _ => {}
        }
        draft.body = Some(body);
    }
}

impl Draft {
    fn kind(&self) -> Kind {
        if self.method == "HEAD" { Kind::Head } else { Kind::Whole }
    }

    /// Returns whether its response has a body that ends, and the connection goes on: hyper's parser does not refuse
    /// it.
    fn can_be_pipelined(&self) -> bool {
        let is_stream = self.target.windows(7).any(|window| window == b"/stream");
        let goes_on =
            |(name, value): &(String, Vec<u8>)| !matches!(&**name, "expect" | "upgrade") && value.len() < 1000;
        let is_usual = self.operation.is_some() && self.headers.len() < 20 && self.target.len() < 1000;
        is_usual && !is_stream && self.method != "HEAD" && self.headers.iter().all(goes_on)
    }

    /// Returns the request line and the headers, without those of the body.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut bytes = [self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\n"].concat();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes
    }

    /// Returns what is sent.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        match &self.body {
            None => bytes.extend(b"\r\n"),
            Some(body) if self.chunked => {
                bytes.extend(b"transfer-encoding: chunked\r\n\r\n");
                for chunk in body.chunks(body.len().div_ceil(3).max(1)) {
                    bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                    bytes.extend([chunk, b"\r\n"].concat());
                }
                bytes.extend(b"0\r\n\r\n");
            }
            Some(body) => {
                bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).into_bytes());
                bytes.extend(body);
            }
        }
        bytes
    }
}

impl FuzzRequest {
    /// Returns whether a success may change something.
    #[must_use]
    pub fn may_write(&self) -> bool {
        !(self.bytes.starts_with(b"GET ") || self.bytes.starts_with(b"HEAD "))
            || matches!(self.kind, Kind::Pipelined(_) | Kind::Cut | Kind::Silent)
    }
}

impl fmt::Debug for FuzzRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.bytes.len().min(2000);
        let more = self.bytes.len() - shown;
        let (number, service, kind) = (self.number, self.service, self.kind);
        write!(f, "request {number} to service {service}, {kind:?}: {}", self.bytes[..shown].escape_ascii())?;
        if more > 0 { write!(f, "… and {more} bytes more") } else { Ok(()) }
    }
}
