//! Who changed what, and what came of it: a line in the log, and in a file if one is kept.

use parking_lot::Mutex;
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;

/// Where changes are written down. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    file: Option<Arc<Mutex<File>>>,
}

impl Audit {
    /// Writes to the log under the target `audit`, and to `file`, opened for appending, one JSON object a line.
    pub fn new(file: Option<File>) -> Self {
        Self { file: file.map(|file| Arc::new(Mutex::new(file))) }
    }

    /// One change, or one that was refused. `result` is a status or a word.
    pub fn note(&self, who: &str, what: &str, result: &str) {
        self.write(who, what, result);
        tracing::info!(target: "audit", who, what, result, "change");
    }

    /// The file has the line before the log tells of it.
    fn write(&self, who: &str, what: &str, result: &str) {
        let Some(file) = &self.file else { return };
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let at = i64::try_from(at).ok().and_then(|at| impp_model::datetime::DateTime::from_epoch(at, 0));
        let at = at.map(|at| at.to_string());
        let line = json!({ "at": at, "who": who, "what": what, "result": result });
        // In one write, so that lines of two processes do not mix.
        if let Err(error) = file.lock().write_all(format!("{line}\n").as_bytes()) {
            tracing::error!(%error, "the audit file cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_one_line_with_who_what_and_result() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let open = || File::options().append(true).create(true).open(&path).unwrap();
        Audit::new(Some(open())).note("127.0.0.1:4711", "POST /api/v1/reload", "200");
        Audit::new(Some(open())).note("signal", "reload", "refused");
        Audit::default().note("signal", "reload", "done");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!((lines[0]["who"].as_str(), lines[1]["result"].as_str()), (Some("127.0.0.1:4711"), Some("refused")));
        assert!(lines[0]["at"].as_str().unwrap().contains('T'), "{text}");
    }
}
