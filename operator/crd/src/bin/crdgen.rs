//! Prints the CRDs, or writes them into the folder given as the only argument.

use kvorum_crd::generate;
use std::io::Write;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let yaml = generate::kvclusters()?;
    match std::env::args_os().nth(1).map(PathBuf::from) {
        None => std::io::stdout().write_all(yaml.as_bytes())?,
        Some(folder) => {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join(generate::KVCLUSTERS_FILE), yaml)?;
        }
    }
    Ok(())
}
