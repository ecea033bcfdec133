//! Private Python environments, from pinned and hashed requirements, in the user's cache folder.
//! Made once; a second start finds them ready. The tests use this too.
//!
//! `requirements.txt` comes from `requirements.in`:
//! `uv pip compile --universal --python-version 3.10 --generate-hashes --no-header --no-annotate`.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Instant,
};

use sha2::{Digest as _, Sha256};

use crate::{config::environment, ids};

/// The installer, itself installed with pip. It does in seconds what takes pip minutes.
const INSTALLER: &str = include_str!("uv.txt");

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    /// There is no Python.
    #[error("python3 was not found: install Python 3.10 or later")]
    Missing,
    /// There is an old one.
    #[error("python3 is {0}: Python 3.10 or later is needed")]
    TooOld(String),
    /// Debian and others ship Python without its `venv`.
    #[error(
        "this Python cannot make environments: install its venv module (python3-venv on Debian)"
    )]
    NoVenv,
    /// There is no folder to keep it in.
    #[error("there is no home folder: set XDG_CACHE_HOME")]
    NoCache,
    /// Something could not be installed.
    #[error("failed to {what}; the installer says: {words}")]
    Install {
        /// What was tried.
        what: String,
        /// The end of what the installer said.
        words: String,
    },
    /// A file cannot be used.
    #[error("failed to use {}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// A Python environment that is ready.
#[derive(Clone, Debug)]
pub struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// The environment of these requirements, made if it is not there. `tell` hears of each step
    /// that takes a while.
    pub fn ensure(
        name: &str,
        requirements: &str,
        tell: &dyn Fn(&str),
    ) -> Result<Self, PythonError> {
        let (python, cache) = (find_python()?, cache()?);
        let uv = uv(tell)?;
        let folder = make(&cache, name, requirements, &python, |folder| {
            let began = Instant::now();
            run(
                "make an environment",
                command(&uv).args(["venv", "--quiet", "--python"]).arg(&python).arg(folder),
            )?;
            let pinned = folder.join("pinned.txt");
            write(&pinned, requirements)?;
            let mut install = command(&uv);
            install.args(["pip", "install", "--quiet", "--require-hashes", "--python"]);
            install.arg(folder.join("bin/python")).arg("--requirement").arg(pinned);
            run(&format!("install the packages of `{name}`"), &mut install)?;
            let took = began.elapsed().as_secs_f64();
            tell(&format!("installed the Python packages of `{name}` ({took:.1} s)"));
            Ok(())
        })?;
        Ok(Self { folder })
    }

    /// A program of the environment.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }
}

/// The installer, made if it is not there.
pub fn uv(tell: &dyn Fn(&str)) -> Result<PathBuf, PythonError> {
    let python = find_python()?;
    let folder = make(&cache()?, "uv", INSTALLER, &python, |folder| {
        let began = Instant::now();
        run("make an environment", command(&python).args(["-m", "venv"]).arg(folder)).map_err(
            |error| match error {
                PythonError::Install { words, .. } if words.contains("ensurepip") => {
                    PythonError::NoVenv
                }
                other => other,
            },
        )?;
        let pinned = folder.join("pinned.txt");
        write(&pinned, INSTALLER)?;
        let mut pip = command(&folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        run("install uv", pip.args(["--require-hashes", "--requirement"]).arg(pinned))?;
        tell(&format!("installed uv ({:.1} s)", began.elapsed().as_secs_f64()));
        Ok(())
    })?;
    Ok(folder.join("bin/uv"))
}

fn cache() -> Result<PathBuf, PythonError> {
    environment::cache_folder().map(|folder| folder.join("python")).ok_or(PythonError::NoCache)
}

/// Makes a folder that is named after what it is made from, once, however many processes ask.
fn make(
    cache: &Path,
    name: &str,
    requirements: &str,
    python: &Path,
    fill: impl FnOnce(&Path) -> Result<(), PythonError>,
) -> Result<PathBuf, PythonError> {
    let mut made_from = Sha256::new();
    made_from.update(requirements);
    made_from.update(python.as_os_str().as_encoded_bytes());
    let mut made_from = ids::hex(&made_from.finalize());
    made_from.truncate(16);
    let folder = cache.join(format!("{name}-{made_from}"));
    let ready = folder.join("ready");
    if ready.exists() {
        return Ok(folder);
    }
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |error| PythonError::Io { path, error }
    };
    fs::create_dir_all(cache).map_err(failed(cache))?;
    let lock_path = cache.join(format!("{name}-{made_from}.lock"));
    let lock = File::create(&lock_path).map_err(failed(&lock_path))?;
    lock.lock().map_err(failed(&lock_path))?;
    if ready.exists() {
        return Ok(folder);
    }
    // What an earlier attempt left behind.
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed(&folder))?;
    }
    fill(&folder)?;
    write(&ready, "")?;
    Ok(folder)
}

/// The real interpreter, whatever wrapper `python3` may be.
fn find_python() -> Result<PathBuf, PythonError> {
    let script = "import sys; print(sys.version_info >= (3, 10)); print(sys.version.split()[0]); \
                  print(sys.executable)";
    let output = command(Path::new("python3"))
        .args(["-c", script])
        .output()
        .map_err(|_| PythonError::Missing)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    match (lines.next(), lines.next(), lines.next()) {
        (Some("True"), _, Some(python)) => Ok(PathBuf::from(python)),
        (Some(_), Some(version), _) => Err(PythonError::TooOld(version.to_owned())),
        _ => Err(PythonError::Missing),
    }
}

#[expect(clippy::disallowed_methods, reason = "sets up what the demo and the tests run")]
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME").env_remove("VIRTUAL_ENV");
    // pip's mirror, if one is set, is uv's as well.
    if let (Some(index), None) =
        (environment::variable("PIP_INDEX_URL"), environment::variable("UV_DEFAULT_INDEX"))
    {
        command.env("UV_DEFAULT_INDEX", index);
    }
    command
}

fn run(what: &str, command: &mut Command) -> Result<(), PythonError> {
    let failed = |words: String| PythonError::Install { what: what.to_owned(), words };
    let Output { status, stdout, stderr } =
        command.output().map_err(|error| failed(error.to_string()))?;
    if status.success() {
        return Ok(());
    }
    let said = [stdout, stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let last: Vec<&str> = said.trim().lines().rev().take(6).collect();
    Err(failed(last.into_iter().rev().collect::<Vec<_>>().join(" / ")))
}

fn write(path: &Path, text: &str) -> Result<(), PythonError> {
    fs::write(path, text).map_err(|error| PythonError::Io { path: path.to_path_buf(), error })
}
