//! The main job, as `subrosa demo` plays it.

use serde_json::Value;

use crate::support::{python, workspace::Workspace};

#[test]
fn the_demo_shows_what_it_promises() {
    python::demo();
    let workspace = Workspace::new("");
    let mut demo = workspace.subrosa(&["demo", "--json"]);
    // The packages are in the real user's cache.
    demo.env(
        "XDG_CACHE_HOME",
        subrosa::config::environment::cache_folder().unwrap().parent().unwrap(),
    );
    let output = demo.output().unwrap();
    let progress = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{progress}");
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["root_cause"], "The task may not read its secrets");
    assert_eq!(verdict["write_denied"], true);
    assert_eq!(verdict["cleared"], true);
    assert_eq!(verdict["audit_intact"], true);
    let secrets = verdict["secrets"].as_array().unwrap();
    assert_eq!(secrets.len(), 8);
    for secret in secrets {
        let own = secret["secret"] == "the server's own AWS key";
        assert_eq!(secret["seen_by_child"], !own, "{secret}");
        assert_eq!(secret["seen_by_model"], false, "{secret}");
        assert_eq!(secret["in_log"], false, "{secret}");
    }
    assert_eq!(verdict["calls"], verdict["transcript"].as_array().unwrap().len());
}
