//! What gateway and helper say to each other: one job at a time, each answered once.
//!
//! ```text
//! gateway -> helper   cpu: u64 seconds, memory: u64 bytes, length: u64, the work
//! gateway -> helper   one byte, whenever it is due: DONE (the answer has arrived) or CANCEL
//! helper  -> gateway  kind: u8, status: i32, length: u64, length: u64, what the compiler wrote, its words for humans
//! ```
//!
//! The work is passed on as it is to the process that does it: length of the module: u64, whether there is a state: u8, the module,
//! the state. Numbers are little-endian. Both ends are the same binary, so there are no versions.

use std::io::{self, ErrorKind, Read, Write};

use super::Work;

/// The gateway has the answer.
pub(super) const DONE: u8 = b'd';
/// The gateway wants no answer any more; it comes all the same, soon.
pub(super) const CANCEL: u8 = b'c';

/// Largest answer: machine code has some four times the size of its module.
pub(super) const MAX_OUTPUT_BYTES: u64 = 512 << 20;
/// Words for humans beyond this are cut off.
pub(super) const MAX_ERROR_BYTES: u64 = 4 << 10;

/// First byte of what a compiler writes: machine code follows.
pub(super) const COMPILED: u8 = 0;
/// Or: why there is none.
pub(super) const REFUSED: u8 = 1;

/// What is to be done, without the work itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Job {
    pub(super) cpu_seconds: u64,
    pub(super) memory_bytes: u64,
    pub(super) work_bytes: u64,
}

/// How the process ended that compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exit {
    Code(i32),
    Signal(i32),
    /// It never began: the number of the system's error.
    NotStarted(i32),
}

/// What became of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) exit: Exit,
    pub(super) output: Vec<u8>,
    pub(super) errors: Vec<u8>,
}

impl Job {
    pub(super) fn write(self, to: &mut impl Write) -> io::Result<()> {
        let numbers = [self.cpu_seconds, self.memory_bytes, self.work_bytes];
        to.write_all(&numbers.map(u64::to_le_bytes).concat())
    }

    /// None if there are no more jobs.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut first = [0];
        if from.read(&mut first)? == 0 {
            return Ok(None);
        }
        let mut rest = [0; 7];
        from.read_exact(&mut rest)?;
        let cpu_seconds =
            u64::from_le_bytes([first[0], rest[0], rest[1], rest[2], rest[3], rest[4], rest[5], rest[6]]);
        Ok(Some(Self { cpu_seconds, memory_bytes: number(from)?, work_bytes: number(from)? }))
    }
}

impl Work {
    /// What stands before module and state.
    pub(super) fn head(&self) -> [u8; 9] {
        let mut head = [0; 9];
        head[..8].copy_from_slice(&(self.wasm.len() as u64).to_le_bytes());
        head[8] = u8::from(self.state.is_some());
        head
    }

    /// Bytes that are sent of it.
    pub(super) fn sent_bytes(&self) -> u64 {
        (self.head().len() + self.size_bytes()) as u64
    }

    /// Reads it to the end.
    pub(super) fn read(mut from: impl Read) -> io::Result<Self> {
        let wasm_bytes = number(&mut from)?;
        let mut has_state = [0];
        from.read_exact(&mut has_state)?;
        let wasm = bytes(&mut from, wasm_bytes)?.into();
        let mut state = Vec::new();
        from.read_to_end(&mut state)?;
        Ok(Self { wasm, state: (has_state == [1]).then(|| state.into()) })
    }
}

impl Answer {
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let (kind, status) = match self.exit {
            Exit::Code(code) => (0, code),
            Exit::Signal(signal) => (1, signal),
            Exit::NotStarted(error) => (2, error),
        };
        to.write_all(&[kind])?;
        to.write_all(&status.to_le_bytes())?;
        to.write_all(&(self.output.len() as u64).to_le_bytes())?;
        to.write_all(&(self.errors.len() as u64).to_le_bytes())?;
        to.write_all(&self.output)?;
        to.write_all(&self.errors)
    }

    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut kind = [0];
        from.read_exact(&mut kind)?;
        let mut status = [0; 4];
        from.read_exact(&mut status)?;
        let status = i32::from_le_bytes(status);
        let exit = match kind[0] {
            0 => Exit::Code(status),
            1 => Exit::Signal(status),
            2 => Exit::NotStarted(status),
            _ => return Err(ErrorKind::InvalidData.into()),
        };
        let (output, errors) = (number(from)?, number(from)?);
        if output > MAX_OUTPUT_BYTES || errors > MAX_ERROR_BYTES {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(Self { exit, output: bytes(from, output)?, errors: bytes(from, errors)? })
    }
}

fn number(from: &mut impl Read) -> io::Result<u64> {
    let mut number = [0; 8];
    from.read_exact(&mut number)?;
    Ok(u64::from_le_bytes(number))
}

fn bytes(from: &mut impl Read, count: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if from.take(count).read_to_end(&mut bytes)? as u64 == count {
        Ok(bytes)
    } else {
        Err(ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_and_answers_arrive_as_they_were_sent() {
        let job = Job { cpu_seconds: 0x0102_0304_0506_0708, memory_bytes: 9, work_bytes: u64::MAX };
        let mut sent = Vec::new();
        job.write(&mut sent).unwrap();
        let mut from = &sent[..];
        assert_eq!(Job::read(&mut from).unwrap(), Some(job));
        assert_eq!(Job::read(&mut from).unwrap(), None);
        assert!(Job::read(&mut &sent[..9]).is_err(), "cut short");

        for exit in [Exit::Code(101), Exit::Signal(24), Exit::NotStarted(-1)] {
            let answer = Answer { exit, output: vec![1, 2, 3], errors: b"words".to_vec() };
            let mut sent = Vec::new();
            answer.write(&mut sent).unwrap();
            assert_eq!(Answer::read(&mut &sent[..]).unwrap(), answer);
            assert!(Answer::read(&mut &sent[..sent.len() - 1]).is_err(), "cut short");
        }
    }

    #[test]
    fn work_arrives_as_it_was_sent() {
        for state in [None, Some(&b""[..]), Some(b"state")] {
            let work = Work { wasm: b"module"[..].into(), state: state.map(Into::into) };
            let sent = [&work.head()[..], &work.wasm, state.unwrap_or_default()].concat();
            assert_eq!(sent.len() as u64, work.sent_bytes());
            let arrived = Work::read(&sent[..]).unwrap();
            assert_eq!((&*arrived.wasm, arrived.state.as_deref()), (&b"module"[..], state));
            assert!(Work::read(&sent[..10]).is_err(), "cut short");
        }
    }

    #[test]
    fn an_answer_that_claims_too_much_is_refused_before_it_is_read() {
        let mut sent = vec![0; 5];
        sent.extend((MAX_OUTPUT_BYTES + 1).to_le_bytes());
        sent.extend(0_u64.to_le_bytes());
        assert_eq!(Answer::read(&mut &sent[..]).unwrap_err().kind(), ErrorKind::InvalidData);
        sent[0] = 7;
        assert_eq!(Answer::read(&mut &sent[..]).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
