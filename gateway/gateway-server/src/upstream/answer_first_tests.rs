use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, join};

use super::*;

#[test]
fn an_answer_is_read_after_writing_has_failed() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (writer, gone) = duplex(8);
        drop(gone);
        let mut stream = AnswerFirst::new(join(&b"413 and why"[..], writer));
        for _ in 0..3 {
            stream.write_all(b"the rest of an upload").await.unwrap();
            let slices = [io::IoSlice::new(b"in"), io::IoSlice::new(b"slices")];
            assert_eq!(stream.write_vectored(&slices).await.unwrap(), 8);
            stream.flush().await.unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "413 and why");
    });
}

#[test]
fn a_connection_that_works_is_left_alone() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (near, mut far) = duplex(64);
        let mut stream = AnswerFirst::new(near);
        stream.write_all(b"request").await.unwrap();
        let mut request = [0; 7];
        far.read_exact(&mut request).await.unwrap();
        assert_eq!(&request, b"request");
    });
}
