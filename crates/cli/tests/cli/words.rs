//! Completions and the manual page.

use std::process::Command;

use crate::scene::{Answer, Scene};

/// What bash offers after this line.
fn bash_offers(scene: &Scene, words: &[&str]) -> Vec<String> {
    let script = format!(
        "eval \"$('{0}' completions bash)\"
         COMP_WORDS=(stagedoor {1}) COMP_CWORD={2}
         _stagedoor stagedoor \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        env!("CARGO_BIN_EXE_stagedoor"),
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        words.len(),
    );
    let answer: Answer = Command::new("bash").args(["-c", &script]).output().unwrap().into();
    assert_eq!(answer.stderr, "");
    assert!(!scene.db().exists(), "completing needs no database");
    answer.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_options() {
    let scene = Scene::without_database();
    assert_eq!(bash_offers(&scene, &["ro"]), ["rotate"]);
    assert_eq!(bash_offers(&scene, &["import", "--dry"]), ["--dry-run"]);
}

#[test]
fn each_shell_has_its_completions() {
    let scene = Scene::without_database();
    for (shell, words) in [("zsh", "#compdef stagedoor"), ("fish", "complete -c stagedoor")] {
        let script = scene.done(&["completions", shell]);
        assert!(script.contains(words), "{shell}");
        assert!(script.contains("rotate"), "{shell}");
    }
    assert_eq!(scene.run(&["completions", "powershell"]).status, Some(2));
}

#[test]
fn nothing_of_this_machine_is_in_completions_and_manual() {
    let scene = Scene::without_database();
    for args in
        [&["completions", "bash"][..], &["completions", "zsh"], &["completions", "fish"], &["man"]]
    {
        let out = scene.done(args);
        assert!(!out.contains(scene.db().to_str().unwrap()), "{args:?}");
    }
}

#[test]
fn the_manual_has_each_command_of_the_help() {
    let scene = Scene::without_database();
    let (help, page) = (scene.done(&["--help"]), scene.done(&["man"]));
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands: Vec<_> = commands
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.contains(&"rotate") && commands.contains(&"import"), "{help}");
    for name in commands {
        let heading = format!("\n.SS \"stagedoor {name}");
        let plain = format!("\n.SS stagedoor {name}");
        assert!(page.contains(&heading) || page.contains(&plain), "{name}");
    }
    assert!(page.contains("STAGEDOOR_DB"), "{page}");
}
