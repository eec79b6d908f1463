//! The files of `[policy] blocklists`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use interwork::Blocklist;

use crate::reload::Reloader;

/// Reads all files into one list; the text says which files and lines are wrong.
pub(crate) fn read(files: &[PathBuf]) -> Result<Blocklist, String> {
    let (mut all, mut wrong) = (Blocklist::default(), Vec::new());
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string());
        match text.and_then(|text| Blocklist::parse(&text).map_err(|error| error.to_string())) {
            Ok(list) => all.extend(list),
            Err(problem) => wrong.push(format!("{}: {problem}", file.display())),
        }
    }
    if wrong.is_empty() { Ok(all) } else { Err(wrong.join("; ")) }
}

/// Reads the files again whenever one changes; a file that cannot be read leaves the list as it was. Never returns.
pub(crate) async fn watch(reloader: &Reloader) {
    let mut known = stamps(&reloader.blocklists());
    loop {
        tokio::time::sleep(transport::tls::RELOAD_CHECK).await;
        let found = stamps(&reloader.blocklists());
        if found != known {
            known = found;
            reload(reloader);
        }
    }
}

fn reload(reloader: &Reloader) {
    match reloader.reload_blocklists() {
        Ok(domains) => tracing::info!(domains, "blocklists read again"),
        Err(problem) => tracing::warn!(problem, "blocklists kept as they were; correct the file"),
    }
}

/// When and how long each file is; one that is missing differs from one that is there.
fn stamps(files: &[PathBuf]) -> Vec<Option<(SystemTime, u64)>> {
    let stamp = |file: &Path| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.iter().map(|file| stamp(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_files_are_named_with_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
        std::fs::write(&good, "a.example\n*.b.example\n").unwrap();
        std::fs::write(&bad, "a.example\n*\n").unwrap();
        assert_eq!(read(std::slice::from_ref(&good)).unwrap().len(), 2);
        let problem = read(&[good.clone(), bad, folder.path().join("missing")]).unwrap_err();
        assert!(problem.contains("bad: neither") && problem.contains("line 2 \"*\"; "), "{problem}");
        assert!(problem.contains("missing: "), "{problem}");
        let before = stamps(std::slice::from_ref(&good));
        std::fs::write(&good, "a.example\n").unwrap();
        assert_ne!(stamps(&[good]), before);
        assert_eq!(stamps(&[folder.path().join("missing")]), [None]);
    }
}
