//! A gateway in memory that behaves, with one fault at a time, to show that each step notices.

use super::*;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    NothingForwarded,
    ForwardedTwice,
    PathChanged,
    BodyLost,
    FilterIgnored,
    ErrorWhileLoading,
    RefusedButForwarded,
    WrongKeyPasses,
    WrongStatus,
    EmptyKeyPasses,
    ConsumerIsEnough,
    KeyReachesOrigin,
    ConsumerMissing,
    ClientConsumerKept,
    LoadFailureNotCounted,
    BrokenFileOpensUp,
    BrokenFileBlocks,
    RemovalIgnored,
    ConnectionCut,
}

/// How many pauses a change of the directory takes to be seen.
const DELAY: usize = 3;

struct FakeSite {
    fault: Fault,
    directory: Directory,
    live: Directory,
    pauses_left: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Directory {
    Empty,
    Working,
    Spoilt,
}

impl FakeSite {
    fn new(fault: Fault) -> Self {
        Self { fault, directory: Directory::Empty, live: Directory::Empty, pauses_left: 0 }
    }

    fn change(&mut self, directory: Directory) -> io::Result<()> {
        self.directory = directory;
        self.pauses_left = DELAY;
        Ok(())
    }

    fn protected(&self) -> bool {
        match self.live {
            Directory::Empty => false,
            Directory::Working => self.fault != Fault::FilterIgnored,
            Directory::Spoilt => self.fault != Fault::BrokenFileOpensUp,
        }
    }

    fn admits(&self, headers: &[(&str, &str)]) -> bool {
        if !self.protected() {
            return true;
        }
        headers.iter().any(|&(name, value)| match name {
            "x-api-key" => {
                value == KEY && !(self.fault == Fault::BrokenFileBlocks && self.live == Directory::Spoilt)
                    || value.is_empty() && self.fault == Fault::EmptyKeyPasses
                    || value.len() > KEY.len() && self.fault == Fault::WrongKeyPasses
            }
            _ => self.fault == Fault::ConsumerIsEnough,
        })
    }

    fn head_at_origin(&self, path: &str) -> Head {
        let path = if self.fault == Fault::PathChanged { "/" } else { path };
        let mut text = format!("GET {path} HTTP/1.1\r\nhost: h\r\n");
        if self.protected() {
            if self.fault != Fault::ConsumerMissing {
                text += &format!("x-consumer: {CONSUMER}\r\n");
            }
            if self.fault == Fault::ClientConsumerKept {
                text += "x-consumer: mallory\r\n";
            }
            if self.fault == Fault::KeyReachesOrigin {
                text += &format!("x-api-key: {KEY}\r\n");
            }
        }
        Head { text }
    }
}

impl Site for FakeSite {
    fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> io::Result<Exchange> {
        if self.fault == Fault::ConnectionCut {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if self.fault == Fault::ErrorWhileLoading && self.pauses_left > 0 {
            return Ok(Exchange { status: 503, body: String::new(), received: Vec::new() });
        }
        let head = self.head_at_origin(path);
        if !self.admits(headers) {
            let received = if self.fault == Fault::RefusedButForwarded { vec![head] } else { Vec::new() };
            let wrong = headers.iter().any(|(name, value)| *name == "x-api-key" && !value.is_empty());
            let status = if wrong && self.fault != Fault::WrongStatus { 403 } else { 401 };
            return Ok(Exchange { status, body: "refused".into(), received });
        }
        let times = match self.fault {
            Fault::NothingForwarded => 0,
            Fault::ForwardedTwice => 2,
            _ => 1,
        };
        let body = if self.fault == Fault::BodyLost { String::new() } else { head.text.clone() };
        Ok(Exchange { status: 200, body, received: vec![head; times] })
    }

    fn install_filter(&mut self) -> io::Result<()> {
        self.change(Directory::Working)
    }

    fn spoil_filter(&mut self) -> io::Result<()> {
        self.change(Directory::Spoilt)
    }

    fn remove_filter(&mut self) -> io::Result<()> {
        self.change(Directory::Empty)
    }

    fn load_failures(&mut self) -> io::Result<u64> {
        let counted = self.live == Directory::Spoilt && self.fault != Fault::LoadFailureNotCounted;
        Ok(u64::from(counted))
    }

    fn pause(&mut self) {
        self.pauses_left = self.pauses_left.saturating_sub(1);
        let ignored = self.fault == Fault::RemovalIgnored && self.directory == Directory::Empty;
        if self.pauses_left == 0 && !ignored {
            self.live = self.directory;
        }
    }
}

#[test]
fn a_gateway_that_behaves_passes_every_step_in_order() {
    let mut lines = Vec::new();
    run_all(&mut FakeSite::new(Fault::None), |line| {
        lines.push(line.to_owned());
        Ok(())
    })
    .unwrap();
    assert_eq!(lines.len(), STEPS.len());
    for (index, line) in lines.iter().enumerate() {
        assert!(line.starts_with(&format!("ok {}/6 ", index + 1)), "{line}");
    }
}

#[test]
fn each_fault_is_noticed_by_the_step_that_is_about_it() {
    for (fault, step, reason) in [
        (Fault::ConnectionCut, 1, "connection reset"),
        (Fault::NothingForwarded, 1, "the client got 200 and the origin received the request 0 times"),
        (Fault::ForwardedTwice, 1, "the client got 200 and the origin received the request 2 times"),
        (Fault::PathChanged, 1, "the origin received \"GET / HTTP/1.1\""),
        (Fault::BodyLost, 1, "the client did not get the origin's body"),
        (Fault::FilterIgnored, 2, "not within 10 s: a request without a key is refused"),
        (Fault::ErrorWhileLoading, 2, "the client got 503 and the origin received the request 0 times"),
        (Fault::RefusedButForwarded, 2, "the client got 401 and the origin received the request 1 times"),
        (Fault::WrongKeyPasses, 3, "demo-keyx"),
        (Fault::WrongStatus, 3, "got 401, not 403"),
        (Fault::EmptyKeyPasses, 3, "passed"),
        (Fault::ConsumerIsEnough, 3, "x-consumer"),
        (Fault::KeyReachesOrigin, 4, "the origin received the key"),
        (Fault::ConsumerMissing, 4, "x-consumer []"),
        (Fault::ClientConsumerKept, 4, "mallory"),
        (Fault::LoadFailureNotCounted, 5, "not within 10 s: the refused load is counted"),
        (Fault::BrokenFileOpensUp, 5, "a request without a key passed"),
        (Fault::BrokenFileBlocks, 5, "the request was refused with 403: refused"),
        (Fault::RemovalIgnored, 6, "not within 10 s: a request without a key passes"),
    ] {
        let error = run_all(&mut FakeSite::new(fault), |_| Ok(())).unwrap_err();
        assert_eq!(error.number, step, "{fault:?}: {error}");
        assert!(error.to_string().contains(reason), "{fault:?}: {error}");
    }
}
