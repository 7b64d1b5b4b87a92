//! A client that sends whole requests and wants answers, and now and then leaves in the middle.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::Seen;
use super::dice::Dice;
use super::message::{Made, made};
use super::origin::{Act, Arrivals};
use crate::eventually::LIMIT;
use crate::{Client, Response};

/// Of a hundred requests, so many are given up by their client.
const GIVEN_UP: usize = 30;
/// For answers and ends, on a machine that is busy elsewhere.
const PATIENCE: Duration = Duration::from_secs(60);
/// A connection that nobody used for so long, because the machine was busy elsewhere, may be closed by now.
const IDLE: Duration = Duration::from_secs(20);
/// What the gateway reads of a body that nobody wants, to keep its connection.
const READ_IN_VAIN_BYTES: usize = 64 << 10;
/// Between two looks at whether a request has arrived.
const LOOK: Duration = Duration::from_millis(2);

/// How far a client gets that gives up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    InHead,
    AfterHead,
    InBody,
    /// The origin has the request, and no answer has begun.
    BeforeResponse,
    InResponse,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    Closes,
    Resets,
    /// Sends no more, and reads to the end.
    HalfCloses,
}

pub(super) struct Player {
    address: SocketAddr,
    dice: Dice,
    number: usize,
    arrivals: Arrivals,
    /// What the next request goes over, and since when it is unused.
    connection: Option<(Client, Instant)>,
    pub(super) seen: Seen,
}

impl Player {
    pub(super) fn new(address: SocketAddr, seed: u64, number: usize, arrivals: Arrivals) -> Self {
        Self {
            address,
            dice: Dice::new(seed, number),
            number,
            arrivals,
            connection: None,
            seen: Seen::default(),
        }
    }

    /// One more request.
    pub(super) fn next(&mut self) {
        self.seen.requests += 1;
        if self.dice.percent(GIVEN_UP) {
            self.give_up();
        } else if self.dice.percent(5) {
            self.pipelined();
        } else {
            self.whole();
        }
    }

    fn whole(&mut self) {
        let act = self.dice.one_of(&[
            Act::Plain,
            Act::Plain,
            Act::Plain,
            Act::Plain,
            Act::Chunked,
            Act::Chunked,
            Act::Empty,
            Act::Odd,
            Act::Odd,
            Act::Odd,
            Act::Interim,
            Act::Early,
            Act::Large,
            Act::Close,
            Act::Reset,
            Act::CutHead,
            Act::CutBody,
            Act::CutChunk,
        ]);
        let made = made(&mut self.dice, self.number, act, false);
        let mut connection = self.connected();
        // Who is refused early may be cut off while sending; the answer is there all the same.
        let _ = connection.socket().write_all(&made.bytes());
        let answer = final_response(&mut connection, &made.method);
        self.judge(connection, &made, answer);
    }

    /// Two requests in one piece.
    fn pipelined(&mut self) {
        let both: Vec<Made> = (0..2)
            .map(|_| {
                let act = self.dice.one_of(&[Act::Plain, Act::Chunked, Act::Odd, Act::Interim]);
                made(&mut self.dice, self.number, act, false)
            })
            .collect();
        let mut connection = self.connected();
        let _ = connection.socket().write_all(&[both[0].bytes(), both[1].bytes()].concat());
        for made in both {
            let answer = final_response(&mut connection, &made.method);
            self.judge(connection, &made, answer);
            let Some((open, _)) = self.connection.take() else { return };
            connection = open;
        }
        self.connection = Some((connection, Instant::now()));
    }

    fn connected(&mut self) -> Client {
        let kept = self.connection.take().filter(|(_, since)| since.elapsed() < IDLE);
        kept.map(|(client, _)| client).unwrap_or_else(|| {
            let mut client = Client::connect(self.address);
            client.set_patience(PATIENCE);
            client
        })
    }

    /// Notes an answer, and keeps the connection if it stays.
    fn judge(&mut self, connection: Client, made: &Made, answer: io::Result<Response>) {
        let complain = |what: String| format!("{what} to {}", shown(&made.bytes()));
        match answer {
            Ok(answer) => {
                *self.seen.answered.entry(answer.status).or_default() += 1;
                if !is_right(made, answer.status) {
                    self.seen.complain(complain(format!("{} {:?}", answer.status, answer.text())));
                }
                // A broken value would be the answer's fault, not a reason to go on with the connection.
                // Of a refused body that turns out to be longer, the gateway reads no more. It says so where it knows.
                let ends_unsaid = made.is_chunked() && made.body.len() > READ_IN_VAIN_BYTES;
                let stays = answer.headers.all("connection").is_empty() && !made.is_last && !ends_unsaid;
                self.connection = stays.then(|| (connection, Instant::now()));
            }
            Err(_) if matches!(made.act, Act::CutBody | Act::CutChunk) => self.seen.cut_by_origin += 1,
            Err(error) => self.seen.complain(complain(format!("no answer ({error})"))),
        }
    }

    fn give_up(&mut self) {
        let phases =
            [Phase::InHead, Phase::AfterHead, Phase::InBody, Phase::BeforeResponse, Phase::InResponse];
        let phase = self.dice.one_of(&phases);
        let needs_body = matches!(phase, Phase::AfterHead | Phase::InBody);
        let act = match phase {
            Phase::BeforeResponse => Act::Hold,
            Phase::InResponse => self.dice.one_of(&[Act::HoldBody, Act::Large]),
            _ => Act::Plain,
        };
        let made = made(&mut self.dice, self.number, act, needs_body);
        let manner = match phase {
            // Who waits for an answer may well half-close and is still there.
            Phase::BeforeResponse | Phase::InResponse => self.dice.one_of(&[Manner::Closes, Manner::Resets]),
            _ => self.dice.one_of(&[Manner::Closes, Manner::Resets, Manner::HalfCloses]),
        };
        let sent = match phase {
            Phase::InHead => made.head[..1 + self.dice.below(made.head.len() - 1)].to_vec(),
            Phase::AfterHead => made.head.clone(),
            Phase::InBody => [&made.head, &made.body[..self.dice.below(made.body.len().max(1))]].concat(),
            Phase::BeforeResponse | Phase::InResponse => made.bytes(),
        };
        *self.seen.given_up.entry(format!("{phase:?} {manner:?}")).or_default() += 1;
        let mut socket = self.connected().socket();
        let before = self.arrivals.count();
        let left = socket
            .write_all(&sent)
            .and_then(|()| self.reach(&mut socket, phase, before))
            .and_then(|()| leave(socket, manner));
        // What is refused early may be over before this client gave up; only silence is wrong.
        if let Err(error) = left
            && matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        {
            self.seen.complain(format!("silence, {phase:?} {manner:?}, after {}", shown(&sent)));
        }
    }

    /// Waits until the request is where it is to be given up.
    fn reach(&mut self, socket: &mut TcpStream, phase: Phase, before: u64) -> io::Result<()> {
        match phase {
            Phase::InHead | Phase::AfterHead | Phase::InBody => Ok(()),
            Phase::BeforeResponse => {
                let deadline = Instant::now() + LIMIT * 3;
                socket.set_read_timeout(Some(LOOK))?;
                while self.arrivals.count() == before {
                    match socket.peek(&mut [0]) {
                        // A filter has answered.
                        Ok(_) => return Ok(()),
                        Err(error) if Instant::now() > deadline => return Err(error),
                        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                        }
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            }
            Phase::InResponse => {
                let mut some = vec![0; 1 + self.dice.below(3_000)];
                socket.read(&mut some).map(drop)
            }
        }
    }
}

fn leave(mut socket: TcpStream, manner: Manner) -> io::Result<()> {
    match manner {
        Manner::Closes => Ok(()),
        Manner::Resets => SockRef::from(&socket).set_linger(Some(Duration::ZERO)),
        Manner::HalfCloses => {
            socket.shutdown(Shutdown::Write)?;
            socket.read_to_end(&mut Vec::new()).map(drop)
        }
    }
}

fn final_response(connection: &mut Client, method: &str) -> io::Result<Response> {
    loop {
        let response = connection.response_to(method)?;
        if response.status >= 200 {
            return Ok(response);
        }
    }
}

/// Whether a whole answer may have this status: the origin's own, a filter's refusal, or what the gateway says of an
/// origin that failed. 503 and 504 would be a filter that failed, or hung.
fn is_right(made: &Made, status: u16) -> bool {
    let refused = (400..500).contains(&status);
    match made.act {
        Act::Close | Act::Reset | Act::CutHead => {
            status == 502 || refused || (status == 200 && made.is_grpc())
        }
        Act::CutBody | Act::CutChunk => {
            status == 502 || refused || (status == 200 && (made.method == "HEAD" || made.is_grpc()))
        }
        Act::Odd => status <= 500,
        _ => status < 500,
    }
}

/// The beginning of what was sent; the seed repeats the rest.
fn shown(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes[..bytes.len().min(600)].escape_ascii())
}
