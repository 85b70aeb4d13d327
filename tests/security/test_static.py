"""What no line of the package may do, whatever the tests reach: read the source and look."""

import ast
from collections.abc import Iterator

import pytest
import yaml

from hybrid_retrieval.config_folder import config_folder
from hybrid_retrieval.security.configuration import CALLBACKS, PLUGIN
from hybrid_retrieval.security.secrets import is_secret_name
from tests.processes import ROOT

PACKAGES = ("hybrid_retrieval", "hydra_plugins")
FORBIDDEN = {
    "eval", "exec", "compile", "__import__",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "cPickle.load", "dill.load", "dill.loads",
    "cloudpickle.load", "cloudpickle.loads", "joblib.load", "shelve.open", "marshal.load", "marshal.loads",
    "pandas.read_pickle", "pd.read_pickle",
    "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn",
    "hydra.utils.instantiate", "hydra.utils.call", "hydra.utils.get_class", "hydra.utils.get_method",
    "hydra.utils.get_object", "instantiate", "get_class", "get_method", "get_object", "pydoc.locate",
    "yaml.unsafe_load", "yaml.full_load", "yaml.unsafe_load_all", "yaml.full_load_all", "yaml.load_all",
    "tarfile.open", "tarfile.TarFile", "shutil.unpack_archive", "tempfile.mktemp", "runpy.run_path",
    "runpy.run_module", "torch.hub.load", "torch.jit.load", "torch.package.PackageImporter",
    "load_from_checkpoint", "datasets.load_dataset", "load_dataset",
}  # fmt: skip
FORBIDDEN_MODULES = {"tarfile", "marshal", "shelve", "dill", "joblib", "runpy", "cloudpickle"}
METHODS = {"extractall", "extract", "unpack_archive", "load_from_checkpoint"}
ARCHIVES = "hybrid_retrieval/security/archives.py"
ZIP_READERS = {ARCHIVES, "hybrid_retrieval/training/checkpoint_file.py"}  # the latter only tests its own sums
IMPORTS = {
    # module and the constant names that it imports by
    "hybrid_retrieval/index/faiss_library.py": {"'faiss'"},
    "hybrid_retrieval/hydra_app.py": {"f'hybrid_retrieval.commands.{verb}'"},
}
# Arguments that a call must have, and their values.
REQUIRED = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "np.save": ("allow_pickle", False),
    "np.lib.format.read_array": ("allow_pickle", False),
    "from_pretrained": ("local_files_only", True),
    "AutoConfig.from_pretrained": ("trust_remote_code", False),
    "AutoModel.from_pretrained": ("trust_remote_code", False),
    "AutoTokenizer.from_pretrained": ("trust_remote_code", False),
    "SentenceTransformer": ("trust_remote_code", False),
}
NEVER = {("trust_remote_code", True), ("shell", True), ("allow_pickle", True), ("weights_only", False)}


def name_of(node: ast.expr) -> str:
    """The dotted name of what is called, with `()` for a part that is no name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return "()"


def offences(tree: ast.AST, file: str) -> Iterator[str]:
    """What a module does that none may, each with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found = imported(node)
        elif isinstance(node, ast.Call):
            found = [*called(node, file), *arguments_of(node)]
        else:
            continue
        yield from (f"{node.lineno}: {offence}" for offence in found)


def imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
    for name in [f"{module}{alias.name}" for alias in node.names]:
        if name in FORBIDDEN or name.split(".")[0] in FORBIDDEN_MODULES:
            yield f"imports {name}"


def called(node: ast.Call, file: str) -> Iterator[str]:
    name, last = name_of(node.func), name_of(node.func).rpartition(".")[2]
    if name in FORBIDDEN or (last in METHODS and "." in name):
        yield f"calls {name}"
    if last == "ZipFile" and file not in ZIP_READERS:
        yield "opens an archive"
    if name == "yaml.load" and "SafeLoader" not in ast.unparse(node):
        yield "calls yaml.load without a safe loader"
    if last == "import_module" and ast.unparse(node.args[0]) not in IMPORTS.get(file, set()):
        yield f"imports {ast.unparse(node.args[0])} by name"


def arguments_of(node: ast.Call) -> Iterator[str]:
    name, last = name_of(node.func), name_of(node.func).rpartition(".")[2]
    given = {k.arg: k.value.value for k in node.keywords if k.arg and isinstance(k.value, ast.Constant)}
    needed = [pair for end, pair in REQUIRED.items() if f".{name}".endswith(f".{end}")]
    for argument, value in needed:
        if given.get(argument) is not value:
            yield f"calls {name} without {argument}={value}"
    for argument, value in NEVER:
        # Lightning's save_checkpoint(weights_only=False) writes, and reads nothing.
        if given.get(argument) is value and (last, argument) != ("save_checkpoint", "weights_only"):
            yield f"calls {name} with {argument}={value}"


def test_no_module_reads_pickles_runs_text_or_unpacks_archives() -> None:
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    assert len(files) > 300
    found = []
    for file in files:
        name = file.relative_to(ROOT).as_posix()
        found += [f"{name}:{line}" for line in offences(ast.parse(file.read_bytes()), name)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "import pickle; pickle.load(file)",
        "import pickle; pickle.Unpickler(file).load()",
        "from pickle import loads",
        "import joblib",
        "import torch; torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, mmap_mode='r')",
        "np.save(path, x)",
        "AutoModel.from_pretrained(f, trust_remote_code=True, local_files_only=True)",
        "transformers.AutoModel.from_pretrained(f, local_files_only=True)",
        "transformers.AutoModel.from_pretrained(f, trust_remote_code=False)",
        "SentenceTransformer(f)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "eval(text)",
        "exec(text)",
        "__import__(name)",
        "importlib.import_module(name)",
        "subprocess.run(command, shell=True)",
        "os.system(command)",
        "import tarfile",
        "archive.extractall(folder)",
        "zipfile.ZipFile(path).extract(name)",
        "zipfile.ZipFile(path)",
        "shutil.unpack_archive(path)",
        "hydra.utils.instantiate(cfg)",
        "from hydra.utils import instantiate",
        "DualEncoder.load_from_checkpoint(path)",
        "load_dataset(name)",
    ],
)
def test_the_check_sees(line: str) -> None:
    assert list(offences(ast.parse(line), "somewhere.py"))


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "yaml.safe_load(text)",
        "model.eval()",
        "trainer.save_checkpoint(file, weights_only=False)",
        "re.compile(pattern)",
    ],
)
def test_the_check_lets_pass(line: str) -> None:
    assert not list(offences(ast.parse(line), "somewhere.py"))


def test_configurations_of_ours_name_no_python_but_plugins() -> None:
    def targets(node: object) -> Iterator[str]:
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        if isinstance(node, dict) and "_target_" in node:
            yield str(node["_target_"])
        for each in inner:
            yield from targets(each)

    def names(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            for key, value in node.items():
                yield str(key)
                yield from names(value)

    files = sorted(config_folder().rglob("*.yaml"))
    assert len(files) > 50
    for file in files:
        # A setting of such a name would be refused.
        assert not list(filter(is_secret_name, names(yaml.safe_load(file.read_text(encoding="utf-8")))))
        for target in targets(yaml.safe_load(file.read_text(encoding="utf-8"))):
            assert PLUGIN.fullmatch(target) or target in CALLBACKS, f"{file}: {target}"
