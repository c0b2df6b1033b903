//! Reading a configuration, from the text of its files to the model or to every problem that keeps it from being one.
//!
//! Called by the config worker, keepalivectl and tests. The files are an operator's, and may be wrong in any way.

use crate::diagnostic::{Collector, Diagnostic, Severity, Tolerance};
use crate::model::Model;
use crate::names::Names;
use crate::source::Source;

use crate::{preprocess, print, resolve, schema, source, tree};

/// What a configuration depends on beside its text and the machine.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Id for `@` lines and `_INSTANCE`: `-i`, else the node name up to its first dot.
    pub config_id: String,
    /// Default of `router_id`.
    pub host_name: String,
    /// Keywords that would be refused because they are not active yet are accepted with a warning.
    pub allow_inactive: bool,
    /// Which errors are reported and passed over, as keepalived does, instead of refusing. What a daemon can't start
    /// from is refused all the same.
    pub tolerance: Tolerance,
    /// `-e`: every include must find what it names, as after `include_check` with all its words.
    pub strict_includes: bool,
    /// It is for another network namespace, whose interfaces nobody knows here.
    pub elsewhere: bool,
    /// Seed of `_RANDOM`, together with the host name; `random_seed` replaces both.
    pub seed: u64,
}

impl LoadOptions {
    /// On the node of this name: lines that begin with `@` are compared with `config_id`, by default the name up to its
    /// first dot.
    #[must_use]
    pub fn on(host_name: String, config_id: Option<String>) -> Self {
        let short = || host_name.split('.').next().unwrap_or_default().to_owned();
        Self { config_id: config_id.unwrap_or_else(short), host_name, ..Self::default() }
    }
}

/// Outcome of reading a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The model; absent when a diagnostic is an error.
    pub model: Option<Model>,
    /// Everything that was found, errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// The main file could not be read at all.
    pub missing: bool,
    /// With `config_save_dir`: every line that counted, comments and outer blanks stripped, each file's name before its
    /// own as a comment. It holds what the files hold, passwords included.
    pub consolidated: Option<String>,
}

impl Loaded {
    /// Diagnostics of one severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }
}

/// Seed of `_RANDOM`: differs between nodes, stays the same from one reload to the next.
fn seed(options: &LoadOptions) -> u64 {
    // FNV-1a of the host name.
    options.host_name.bytes().fold(options.seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Reads the configuration at `path`, a file or pattern, with everything that it includes.
///
/// What tolerance leaves out has left its traces: numbers that were given away, names that are longer than
/// needed. Such a model is that of its own canonical text.
#[must_use]
pub fn load(source: &dyn Source, names: &dyn Names, path: &str, options: &LoadOptions) -> Loaded {
    let (mut loaded, ignored) = load_once(source, names, path, options);
    if let Some(model) = loaded.model.as_ref().filter(|_| ignored) {
        let canonical = Canonical { text: print(model), source };
        let (settled, _) = load_once(&canonical, names, Canonical::PATH, options);
        loaded.model = settled.model.or(loaded.model);
    }
    loaded
}

/// The same as it stands; true when errors were ignored.
fn load_once(source: &dyn Source, names: &dyn Names, path: &str, options: &LoadOptions) -> (Loaded, bool) {
    let mut problems = Collector::new(options.tolerance);
    let settings = preprocess::Settings {
        config_id: &options.config_id,
        seed: seed(options),
        strict_includes: options.strict_includes,
    };
    let preprocessed = preprocess::preprocess(source, path, &settings, &mut problems);
    if preprocessed.missing {
        let diagnostics = problems.finish(&preprocessed.texts);
        return (Loaded { model: None, diagnostics, missing: true, consolidated: None }, false);
    }
    let texts = preprocessed.texts;
    let tree = tree::build(&texts, &preprocessed.lines, &mut problems);
    let draft = schema::lower(&mut schema::Lowering::new(&texts, &tree, &mut problems, options));
    drop(tree);
    let saves = draft.globals.process.save_dir.is_some();
    let consolidated = saves.then(|| texts.consolidated(&preprocessed.lines));
    drop(preprocessed.lines);
    let model = resolve::resolve(draft, source, names, options, &mut problems);
    let model = (problems.errors() == 0).then_some(model);
    let ignored = problems.faults() > problems.errors();
    (Loaded { model, diagnostics: problems.finish(&texts), missing: false, consolidated }, ignored)
}

/// The canonical text of a model in front of the files that it was read from.
struct Canonical<'a> {
    text: String,
    source: &'a dyn Source,
}

impl Canonical<'_> {
    /// No file has this name.
    const PATH: &'static str = "\0";
}

impl Source for Canonical<'_> {
    fn read(&self, path: &str) -> Result<Vec<u8>, source::ReadProblem> {
        if path == Self::PATH { Ok(self.text.clone().into_bytes()) } else { self.source.read(path) }
    }

    fn list(&self, directory: &str) -> Vec<String> {
        self.source.list(directory)
    }

    fn is_exposed(&self, path: &str) -> bool {
        self.source.is_exposed(path)
    }

    fn exists(&self, path: &str) -> bool {
        path == Self::PATH || self.source.exists(path)
    }

    fn environment(&self, name: &str) -> Option<String> {
        self.source.environment(name)
    }
}
