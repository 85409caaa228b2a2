use super::*;

fn read(pieces: &[&[u8]]) -> Result<Vec<String>, Failure> {
    let mut events = Events::default();
    let mut all = Vec::new();
    for piece in pieces {
        events.receive(piece, &mut |data| {
            all.push(data.to_owned());
            Ok(None::<()>)
        })?;
    }
    Ok(all)
}

const STREAM: &str = "data: {\"a\":\"ü😀\"}\n\n: a comment\n\nevent: x\r\ndata:1\r\ndata: 2\r\n\r\nid: 7\n\ndata: [DONE]\n\n";

#[test]
fn events_are_the_same_however_their_bytes_are_cut() {
    let whole = read(&[STREAM.as_bytes()]).unwrap();
    assert_eq!(whole, ["{\"a\":\"ü😀\"}", "1\n2", "[DONE]"]);
    for cut in 0..STREAM.len() {
        let (a, b) = STREAM.as_bytes().split_at(cut);
        assert_eq!(read(&[a, b]).as_ref(), Ok(&whole), "{cut}");
    }
    let bytes: Vec<&[u8]> = STREAM.as_bytes().chunks(1).collect();
    assert_eq!(read(&bytes), Ok(whole));
}

#[test]
fn nothing_is_read_after_the_end() {
    let mut events = Events::default();
    let mut all = Vec::new();
    let end = events.receive(b"data: 1\n\ndata: 2\n\ndata: 3\n\n", &mut |data| {
        all.push(data.to_owned());
        Ok((data == "2").then_some(()))
    });
    assert_eq!((end, all.len()), (Ok(Some(())), 2));
}

#[test]
fn an_event_that_is_cut_off_is_none() {
    assert_eq!(read(&[b"data: 1\n\ndata: 2\n"]), Ok(vec!["1".to_owned()]));
}

#[test]
fn what_is_not_utf_8_or_too_large_is_refused() {
    assert!(matches!(
        read(&[b"data: \xff\n\n"]),
        Err(Failure::GatewayProtocolError(_))
    ));
    let large = vec![b'x'; MAX_FRAME_BYTES + 1];
    assert!(matches!(
        read(&[&large]),
        Err(Failure::GatewayProtocolError(_))
    ));
}
