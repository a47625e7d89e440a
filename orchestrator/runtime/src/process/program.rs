//! Checks of what a container wants to run, made before anything is started so that the message can help.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::types::ContainerConfig;

/// `PATH` of a container that sets none.
const DEFAULT_SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The directory the container starts in.
pub(crate) fn working_dir(config: &ContainerConfig) -> PathBuf {
    config.working_dir.clone().unwrap_or_else(|| PathBuf::from("/"))
}

/// The file to execute.
///
/// # Errors
/// What is wrong, where, and how to mend it.
pub(crate) fn resolve(config: &ContainerConfig) -> Result<PathBuf, String> {
    let name = &config.name;
    let Some(program) = config.command.first().filter(|program| !program.is_empty()) else {
        return Err(format!(
            "container {name} has no command; a process has no image to take one from: set \
             spec.containers[].command"
        ));
    };
    let cwd = working_dir(config);
    if !cwd.is_absolute() {
        return Err(format!(
            "workingDir {} of container {name} is not absolute; begin it with /",
            cwd.display()
        ));
    }
    match fs::metadata(&cwd) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            return Err(format!(
                "workingDir {} of container {name} is no directory; name one that exists on this node",
                cwd.display()
            ));
        }
        Err(error) => {
            return Err(format!(
                "workingDir {} of container {name}: {error}; create it on this node or change workingDir",
                cwd.display()
            ));
        }
    }
    if program.contains('/') {
        let path = cwd.join(program);
        return match check_file(&path) {
            Ok(()) => Ok(path),
            Err(why) => {
                Err(format!("command {program:?} of container {name}: {} {why}", path.display()))
            }
        };
    }
    let search = config
        .env
        .iter()
        .rev()
        .find(|(key, _)| key == "PATH")
        .map_or(DEFAULT_SEARCH_PATH, |(_, value)| value.as_str());
    let mut refused = None;
    for dir in search.split(':').filter(|dir| !dir.is_empty()) {
        let path = cwd.join(dir).join(program);
        match check_file(&path) {
            Ok(()) => return Ok(path),
            Err(why) if path.exists() => {
                refused = refused.or_else(|| Some(format!("{} {why}", path.display())));
            }
            Err(_) => {}
        }
    }
    Err(match refused {
        Some(found) => format!("command {program:?} of container {name}: {found}"),
        None => format!(
            "command {program:?} of container {name} is not in its PATH ({search}); install it on this \
             node, write its full path, or set PATH in env"
        ),
    })
}

fn check_file(path: &Path) -> Result<(), String> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err("does not exist on this node; install it there or correct the path".into());
        }
        Err(error) => return Err(format!("cannot be looked at: {error}")),
    };
    if metadata.is_dir() {
        return Err("is a directory; name the program in it".into());
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(format!("is not executable; run chmod +x {}", path.display()));
    }
    access(path, Access::EXEC_OK)
        .map_err(|error| format!("may not be executed by the node agent's user: {error}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::types::Resources;

    fn config(command: &[&str], cwd: Option<&Path>, path: Option<&str>) -> ContainerConfig {
        ContainerConfig {
            name: "web".into(),
            attempt: 0,
            image: "host".into(),
            command: command.iter().map(|&arg| arg.to_owned()).collect(),
            env: path.map(|path| ("PATH".to_owned(), path.to_owned())).into_iter().collect(),
            working_dir: cwd.map(Path::to_owned),
            run_as: None,
            resources: Resources::default(),
            rlimits: Vec::new(),
            labels: BTreeMap::new(),
        }
    }

    fn check(config: &ContainerConfig, expected: Result<&str, &[&str]>) {
        match (resolve(config), expected) {
            (Ok(path), Ok(expected)) => assert_eq!(path, Path::new(expected)),
            (Err(message), Err(words)) => {
                for word in words {
                    assert!(message.contains(word), "{word:?} is missing in {message:?}");
                }
            }
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn programs_are_found_or_the_message_names_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let dir_text = dir.path().to_str().unwrap();
        fs::write(dir.path().join("plain"), "x").unwrap();
        fs::set_permissions(dir.path().join("plain"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::copy("/bin/sh", dir.path().join("tool")).unwrap();

        check(&config(&["/bin/sh"], None, None), Ok("/bin/sh"));
        check(
            &config(&["tool"], None, Some(dir_text)),
            Ok(dir.path().join("tool").to_str().unwrap()),
        );
        check(
            &config(&["./tool"], Some(dir.path()), None),
            Ok(dir.path().join("./tool").to_str().unwrap()),
        );
        check(&config(&["/no/such"], None, None), Err(&["/no/such", "does not exist", "web"]));
        check(&config(&["no-such-tool"], None, None), Err(&["no-such-tool", "PATH", "full path"]));
        check(&config(&["plain"], None, Some(dir_text)), Err(&["not executable", "chmod +x"]));
        check(&config(&[dir_text], None, None), Err(&["is a directory"]));
        check(&config(&[], None, None), Err(&["no command"]));
        check(
            &config(&["/bin/sh"], Some(Path::new("/no/dir")), None),
            Err(&["workingDir /no/dir", "create it"]),
        );
        check(&config(&["/bin/sh"], Some(Path::new("bin")), None), Err(&["begin it with /"]));
        check(
            &config(&["/bin/sh"], Some(Path::new("/bin/sh")), None),
            Err(&["workingDir", "no directory"]),
        );
    }
}
