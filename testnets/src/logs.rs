//! The logs of all nodes as one, line by line.

use std::{collections::VecDeque, io::Write};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    sync::mpsc,
};

/// Longest line that is kept whole; a longer one is broken.
const LINE_BYTES_MAX: u64 = 16 * 1024;
/// Lines that are shown again when a node ends.
const LAST_LINES: usize = 20;

/// A line that a node wrote.
#[derive(Debug)]
pub(crate) struct Line {
    /// Number of the node.
    pub(crate) node: usize,
    /// The line, without its end.
    pub(crate) text: String,
}

/// Passes the lines of a node's output on until it ends or nobody listens.
pub(crate) async fn follow(
    node: usize,
    output: Option<impl AsyncRead + Unpin>,
    lines: mpsc::Sender<Line>,
) {
    let Some(output) = output else { return };
    let mut output = BufReader::new(output);
    let mut raw = Vec::new();
    loop {
        raw.clear();
        match (&mut output).take(LINE_BYTES_MAX).read_until(b'\n', &mut raw).await {
            // A pipe that cannot be read is a pipe that ended.
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&raw).trim_end_matches(['\n', '\r']).to_owned();
        if lines.send(Line { node, text }).await.is_err() {
            return;
        }
    }
}

/// Where the merged log goes, with the last lines of every node.
pub(crate) struct MergedLog<'out> {
    out: &'out mut (dyn Write + Send),
    names: Vec<String>,
    last: Vec<VecDeque<String>>,
    /// The reader of our output went away; the network goes on without one.
    closed: bool,
}

impl<'out> MergedLog<'out> {
    /// Names decide the prefixes, which get one width.
    pub(crate) fn new(out: &'out mut (dyn Write + Send), names: &[String]) -> Self {
        let width = names.iter().map(String::len).max().unwrap_or_default();
        let names: Vec<String> = names.iter().map(|name| format!("{name:width$}")).collect();
        Self { out, last: vec![VecDeque::new(); names.len()], names, closed: false }
    }

    /// A line of a node.
    pub(crate) fn line(&mut self, line: Line) {
        let Some(name) = self.names.get(line.node) else { return };
        let text = format!("{name} | {}", line.text);
        self.say(&text);
        if let Some(last) = self.last.get_mut(line.node) {
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(line.text);
        }
    }

    /// What `testnet` itself has to say.
    pub(crate) fn say(&mut self, text: &str) {
        if !self.closed {
            self.closed = writeln!(self.out, "{text}").and_then(|()| self.out.flush()).is_err();
        }
    }

    /// Shows the last lines of a node again, after saying why.
    pub(crate) fn recall(&mut self, node: usize, why: &str) {
        self.say(why);
        let lines = self.last.get(node).map(|last| last.iter().cloned().collect::<Vec<_>>());
        for line in lines.unwrap_or_default() {
            self.say(&format!("    {line}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["node-9".to_owned(), "node-10".to_owned()]
    }

    #[tokio::test]
    async fn lines_come_one_by_one_and_long_ones_are_broken() {
        let (sender, mut receiver) = mpsc::channel(8);
        let long = "x".repeat(usize::try_from(LINE_BYTES_MAX).unwrap() + 1);
        let output = format!("one\r\ntwo\n\n{long}\nunfinished");
        follow(3, Some(output.as_bytes()), sender).await;
        let mut got = Vec::new();
        while let Some(line) = receiver.recv().await {
            assert_eq!(line.node, 3);
            got.push(line.text.len());
        }
        assert_eq!(got, [3, 3, 0, long.len() - 1, 1, "unfinished".len()]);
    }

    #[test]
    fn prefixes_have_one_width() {
        let mut out = Vec::new();
        let mut log = MergedLog::new(&mut out, &names());
        log.line(Line { node: 0, text: "a".to_owned() });
        log.line(Line { node: 1, text: "b".to_owned() });
        log.line(Line { node: 2, text: "nobody's".to_owned() });
        assert_eq!(String::from_utf8(out).unwrap(), "node-9  | a\nnode-10 | b\n");
    }

    #[test]
    fn recall_shows_the_last_lines_of_one_node() {
        let mut out = Vec::new();
        let mut log = MergedLog::new(&mut out, &names());
        for number in 0..LAST_LINES + 2 {
            log.line(Line { node: 1, text: number.to_string() });
        }
        log.recall(1, "it ended");
        let text = String::from_utf8(out).unwrap();
        let (_, recalled) = text.split_once("it ended\n").unwrap();
        assert_eq!(recalled.lines().count(), LAST_LINES);
        assert_eq!(recalled.lines().next(), Some("    2"));
    }

    #[test]
    fn reader_that_went_away_is_not_written_to_again() {
        struct Gone(u32);
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                self.0 += 1;
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut out = Gone(0);
        let mut log = MergedLog::new(&mut out, &names());
        log.say("a");
        log.say("b");
        assert_eq!(out.0, 1);
    }
}
