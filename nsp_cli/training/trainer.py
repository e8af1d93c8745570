"""The training loop, for any method with a loss."""

from __future__ import annotations

import json
import math
import signal
import time
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader

from nsp_cli.engine.backends.device import Precision, autocast, choose_device, choose_precision
from nsp_cli.errors import ModelError, NspError, UsageError
from nsp_cli.image import read_srgb
from nsp_cli.methods import Method, build_method, check_network
from nsp_cli.model.checkpoint import load_model, save_model
from nsp_cli.model.registry import home
from nsp_cli.model.spec import ModelSpec
from nsp_cli.networks import as_network, build_network, is_noise_conditional
from nsp_cli.system.processes import ProcessInfo
from nsp_cli.system.version import __version__
from nsp_cli.training.cache import OutputCache
from nsp_cli.training.config import TrainConfig
from nsp_cli.training.data import (
    Open,
    StepBatches,
    contents,
    large_enough,
    open_alone,
    open_with_noisy,
    train_val_split,
)
from nsp_cli.training.distributed import from_main_process, training_processes, wrap
from nsp_cli.training.job import Job, Progress
from nsp_cli.training.optimizers import OPTIMIZERS
from nsp_cli.training.state import State, ema_of, learning_rate
from nsp_cli.training.teachers import Teacher, TeacherInterrupt, TeacherTargets, find_teacher, identities
from nsp_cli.training.validation import Monitor

_NO_LIMIT = 10**9  # steps of a run whose budget is in minutes
_SEED_STRIDE = 10**9  # between the random seeds of two runs: more than a run has steps
_LOG_EVERY = 20  # steps

_DIVERGED = "Training diverged: the loss is no longer a number at step {step}; use a lower `lr` or `precision=fp32`."


def train(settings: TrainConfig, job: Job) -> Path:
    """Train a network and write its weights.

    Parameters
    ----------
    settings : TrainConfig
        Method, network, schedule and the other settings that the run's state keeps.
    job : Job
        Photos and files; the run ends early where `job.stop()` is true, and can be resumed.

    Returns
    -------
    Path
        `job.target`, the file of the weights.

    Raises
    ------
    NspError
        The loss is not a finite number any more.
    UsageError
        A setting does not fit the method, or there are too few photos.
    ModelError
        The initial weights, a teacher or the state to resume cannot be used.
    BackendError
        The device or the precision is not available.
    NoInputError
        No photo is as large as a crop.
    InputError
        A photo of `job.pairs` cannot be read. Photos to train on that cannot be read are left out with a warning.
    OutputError
        The state, the weights or a preview cannot be written.
    """
    with training_processes(choose_device(job.device)) as (process, device):
        _Run(settings, job, process, device).run()
    return job.target


class _Run:
    """One process of a run: its method, state, batches and monitor, and the loop over the steps."""

    def __init__(self, settings: TrainConfig, job: Job, process: ProcessInfo, device: torch.device) -> None:
        self.settings, self.job, self.process, self.device = settings, job, process, device
        self.method: Method = build_method(settings.method, settings.method_args)
        check_network(settings.method, settings.network)
        if settings.patch < self.method.smallest_patch:
            raise UsageError(f"This method needs `patch` of at least {self.method.smallest_patch}.")
        self.precision = choose_precision(device, Precision(settings.precision))
        self.teachers = _find_teachers(settings, self.method)
        self.state = self._build_or_resume()
        learner = wrap(self.state.network, process)
        compiles = _helps_to_compile(device) if settings.compile is None else settings.compile
        self.learner: nn.Module = torch.compile(learner) if compiles else learner  # pyright: ignore
        without_teachers = open_with_noisy if self.method.needs_clean_photos else open_alone
        self.open: Open = self._teacher_targets() if self.teachers else without_teachers
        self.training, self.validation = train_val_split(
            large_enough(job.photos, settings.patch), settings.validation_every
        )
        batches = StepBatches(
            self.training,
            patch=settings.patch,
            batch=settings.batch,
            steps=settings.steps or _NO_LIMIT,
            seed=settings.seed,
            cache_bytes=settings.cache_megabytes * 10**6,
            rotate=settings.orientations == "all",
            make_example=self.method.make_example,
            open=self.open,
        )
        self.batches = batches.shard(process.rank, process.world_size)
        self.monitor: Monitor | None = None
        self.generator = Generator(device)

    def _build_or_resume(self) -> State:
        """Build the state of a new run, or load that of the run in the folder. Raises `ModelError` and `UsageError`."""
        settings, job, teachers = self.settings, self.job, json.dumps(identities(self.teachers))
        if settings.keep and job.start is None and not job.resume:
            raise UsageError("`keep` interpolates with the weights to start from, and there are none; leave it out.")
        torch.manual_seed(settings.seed)
        network = build_network(settings.network, {**settings.network_args, **self.method.network_args})
        if is_noise_conditional(as_network(network)) and not self.method.supports_noise_level:
            raise UsageError(
                f"The method '{settings.method}' takes no noise level; add `network_args.noise_level=false`."
            )
        if job.start is not None and not job.resume:
            network = _load_initial(job.start, network)
        network.to(device=self.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        kind = OPTIMIZERS[settings.optimizer]
        optimizer = kind(network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
        initial = {name: weight.clone() for name, weight in network.state_dict().items()} if settings.keep else None
        state = State(settings, network, ema_of(network, settings.ema), optimizer, initial=initial)
        if job.resume:
            state.resume(job.folder, job.photos, teachers)
        state.photos, state.teachers = contents(job.photos), teachers
        return state

    def _teacher_targets(self) -> TeacherTargets:
        """Return the function that opens a photo with the outputs of the teachers as further channels."""
        cache = OutputCache(home() / "teachers", self.settings.teacher_cache_megabytes * 10**6)
        stop = self.job.stop if self.process.is_alone else lambda: False  # several stop after the same step
        return TeacherTargets(self.teachers, cache, read_srgb, str(self.device), stop)

    def run(self) -> None:
        """Train until the budget or a stop ends it, and save the state; a stop while a teacher runs does so too."""
        try:
            if self.process.is_main_process:
                self.monitor = Monitor(  # for which teachers run on the validation photos
                    self.job.folder,
                    self.settings,
                    self.method,
                    training=self.training,
                    validation=self.validation,
                    pairs=self.job.pairs,
                    open=self.open,
                    shown=self.job.shown,
                )
            self._loop()
        except TeacherInterrupt:
            pass  # the step whose targets are missing has not begun
        self._save()

    def _loop(self) -> None:
        """Step until the budget is used up or the caller requests a stop."""
        state, clock = self.state, time.monotonic()
        steps = range(state.step, self.settings.steps or _NO_LIMIT)
        # A process that was forked cannot use CUDA, which teachers may have to.
        workers = 2 if self.device.type == "cuda" and not self.teachers else 0
        loader = DataLoader(
            self.batches, batch_size=None, sampler=steps, num_workers=workers, worker_init_fn=_ignore_interrupts
        )
        for batch in loader:
            progress = from_main_process(state.progress, self.process, self.device)
            stopped = bool(from_main_process(float(self.job.stop()), self.process, self.device))
            if progress >= 1 or stopped:
                break
            loss = self._step(batch, progress)
            now = time.monotonic()
            state.seconds, clock = state.seconds + now - clock, now
            state.step += 1
            saves = state.step % self.settings.save_every == 0
            if saves or state.step % _LOG_EVERY == 0 or state.step == 1:
                self._log(loss)
            if saves:
                self._save()
                clock = time.monotonic()  # a budget in minutes is spent on steps alone

    def _step(self, batch: Tensor, progress: float) -> Tensor:
        """Update the weights on a batch; `progress` is the used fraction of the budget. Return the loss, a scalar."""
        settings, state = self.settings, self.state
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(settings, state.step, progress)
        self.generator.manual_seed(
            (settings.seed * _SEED_STRIDE + state.step) * self.process.world_size + self.process.rank
        )
        with autocast(self.device, self.precision):
            loss = self.method.loss(self.learner, batch.to(self.device, non_blocking=True), self.generator)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if settings.clip:
            nn.utils.clip_grad_norm_(state.network.parameters(), settings.clip)
        state.optimizer.step()
        if settings.ema:
            state.ema.update_parameters(state.network)
        return loss.detach()

    def _log(self, loss: Tensor) -> None:
        """Write the scalars of a step and report it. Raises `NspError` where the loss is no longer a number."""
        value, state = float(loss), self.state
        if not math.isfinite(value):
            raise NspError(_DIVERGED.format(step=state.step))
        if self.monitor is not None:
            rate = learning_rate(self.settings, state.step, state.progress)
            self.monitor.scalars(state.step, {"loss/training": value, "lr": rate, "seconds": state.seconds})
            self.job.report(Progress(state.step, min(state.progress, 1.0), value, state.seconds))

    def _save(self) -> None:
        """Write the state, the weights and a validation, in the main process. Raises `NspError` where they diverged."""
        if not self.process.is_main_process:
            return
        if not all(torch.isfinite(weight).all() for weight in self.state.network.parameters()):
            raise NspError(_DIVERGED.format(step=self.state.step))
        self.state.save(self.job.folder)
        result = self.state.result()
        save_model(result, self._spec(), self.job.target)
        if self.monitor is None:
            return
        with autocast(self.device, self.precision):
            self.monitor.validate(self.state.step, result, self.device)

    def _spec(self) -> ModelSpec:
        """Build the description of the weights, with what they were trained by."""
        settings, state = self.settings, self.state
        return ModelSpec(
            network=settings.network,
            network_args={**settings.network_args, **self.method.network_args},
            method=settings.method,
            method_args=settings.method_args,
            training={
                "nsp": __version__,
                "steps": state.step,
                "minutes": round(state.seconds / 60, 1),
                "photos": len(self.batches.paths),
                "patch": settings.patch,
                "batch": settings.batch,
                "lr": settings.lr,
                "optimizer": settings.optimizer,
                "seed": settings.seed,
                **({"teachers": identities(self.teachers)} if self.teachers else {}),
            },
        )


def _find_teachers(settings: TrainConfig, method: Method) -> list[Teacher]:
    """Find the teachers' files. Raises `UsageError` where the method needs some and has none, or the reverse."""
    if settings.teachers and not method.needs_teachers:
        raise UsageError(f"The method '{settings.method}' trains on photos alone; leave out `teachers`.")
    if method.needs_teachers and not settings.teachers:
        raise UsageError(
            f"The method '{settings.method}' trains on the outputs of other models; name one or more with `teachers`."
        )
    return [find_teacher(model, settings.teacher_views) for model in settings.teachers]


def _ignore_interrupts(worker: int) -> None:  # noqa: ARG001
    """Ignore Ctrl-C, which reaches all processes of a terminal: the one that trains decides when to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _helps_to_compile(device: torch.device) -> bool:
    """Return whether `torch.compile` makes steps faster: on CUDA, with triton."""
    return device.type == "cuda" and find_spec("triton") is not None


def _load_initial(path: Path, network: nn.Module) -> nn.Module:
    """Load weights into a network, which may convert them by `adopt`. Raises `ModelError` where they do not fit."""
    initial = load_model(path)[0].state_dict()
    try:
        network.load_state_dict(network.adopt(initial) if hasattr(network, "adopt") else initial)  # pyright: ignore
    except RuntimeError as error:
        raise ModelError(f"The weights in {path} are of another network than the one to train.") from error
    return network
