//! An XMPP server for one component link (XEP-0114).

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

/// An XMPP server that takes the component `native.example`; what messages it is sent, and how many links were opened.
pub fn component(listener: TcpListener) -> (mpsc::Receiver<String>, Arc<AtomicUsize>) {
    let (bodies, received) = mpsc::channel();
    let links = Arc::new(AtomicUsize::new(0));
    let count = links.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let bodies = bodies.clone();
            count.fetch_add(1, Ordering::SeqCst);
            // Connections of a process that was killed end by themselves.
            thread::spawn(move || serve_component(stream.unwrap(), &bodies));
        }
    });
    (received, links)
}

fn serve_component(mut stream: TcpStream, bodies: &mpsc::Sender<String>) -> Option<()> {
    let between = |text: &str, before: &str, after: &str| {
        let rest = text.split_once(before)?.1;
        Some(rest.split_once(after)?.0.to_owned())
    };
    let (mut seen, mut buffer) = (String::new(), [0; 4096]);
    write!(stream, "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' from='native.example' id='1'>").ok()?;
    let mut open = false;
    loop {
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        seen.push_str(std::str::from_utf8(buffer.get(..read)?).ok()?);
        if !open && let Some((_, rest)) = seen.split_once("</handshake>") {
            seen = rest.to_owned();
            open = true;
            write!(stream, "<handshake/>").ok()?;
        }
        while open && let Some(end) = seen.find("</message>").map(|at| at + 10).into_iter().chain(ping_end(&seen)).min()
        {
            let stanza: String = seen.drain(..end).collect();
            if stanza.contains("<message") {
                bodies.send(between(&stanza, "<body>", "</body>")?).ok()?;
            } else {
                let attribute = |name: &str| {
                    between(&stanza, &format!(" {name}='"), "'")
                        .or_else(|| between(&stanza, &format!(" {name}=\""), "\""))
                };
                let (id, to) = (attribute("id")?, attribute("to")?);
                write!(stream, "<iq type='result' id='{id}' from='{to}' to='native.example'/>").ok()?;
            }
        }
    }
}

fn ping_end(seen: &str) -> Option<usize> {
    let start = seen.find("<iq")?;
    Some(start + seen.get(start..)?.find("</iq>")? + 5)
}
