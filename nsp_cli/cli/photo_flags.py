"""The flags of `nsp denoise`, `nsp sr` and `nsp watch`, and the options that they become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsp_cli.cli import common_flags
from nsp_cli.cli.batch.batch_options import BatchOptions
from nsp_cli.engine.options import DenoiseOptions, IfExists, ModelOptions, OutputOptions
from nsp_cli.image import RawOptions, WhiteBalance
from nsp_cli.model.spec import BackendName, Precision, Task

if TYPE_CHECKING:
    from nsp_cli.cli.batch.profiles import Profiles


@dataclass(frozen=True)
class PhotoFlags:
    """Flags of `nsp denoise`, `nsp sr` and `nsp watch`, in the order of their help.

    `given` has the names of the flags that were given, on the command line or by an environment variable.
    """

    output: common_flags.OutputPath = None
    format: common_flags.Format = None
    quality: common_flags.Quality = 95
    if_exists: common_flags.Exists = None
    no_metadata: common_flags.NoMetadata = False
    no_stamp: common_flags.NoStamp = False
    preserve: common_flags.Preserve = False
    strength: common_flags.Strength = "100"
    luma: common_flags.Luma = 100
    chroma: common_flags.Chroma = 100
    noise: common_flags.Noise = None
    like: common_flags.Like = None
    no_config: common_flags.NoConfig = False
    raw_wb: common_flags.RawWb = WhiteBalance.CAMERA
    raw_exposure: common_flags.RawExposure = 0
    model: common_flags.Model = None
    blind: common_flags.Blind = None
    coarse_chroma: common_flags.CoarseChroma = None
    tile: common_flags.Tile = 0
    device: common_flags.Device = "auto"
    precision: common_flags.Precision = Precision.AUTO
    backend: common_flags.Backend = BackendName.AUTO
    no_fidelity_check: common_flags.NoFidelityCheck = False
    recursive: common_flags.Recursive = False
    include: common_flags.Include = None
    exclude: common_flags.Exclude = None
    jobs: common_flags.Jobs = 2
    report: common_flags.Report = None
    as_json: common_flags.JsonLines = False
    dry_run: common_flags.DryRun = False
    quiet: common_flags.Quiet = False
    verbose: common_flags.Verbose = False
    given: frozenset[str] = frozenset()

    def batch(self) -> BatchOptions:
        """Build the batch options from the flags."""
        return BatchOptions(
            recursive=self.recursive,
            include=self.include or (),
            exclude=self.exclude or (),
            jobs=self.jobs,
            report=self.report,
            as_json=self.as_json,
            dry_run=self.dry_run,
            quiet=self.quiet,
            verbose=self.verbose,
        )

    def profiles(self) -> Profiles | None:
        """Read the settings for cameras; None where there are none, or are not used. Raises `UsageError`."""
        from nsp_cli.cli.batch.profiles import read_profiles

        return None if self.no_config or self.like else read_profiles(self.given)

    def options(
        self, task: Task, scale: int | None, *, many: bool, in_place: bool = False, backup: bool = True
    ) -> DenoiseOptions:
        """Build the settings.

        Parameters
        ----------
        many : bool
            Whether there is more than one photo: existing outputs are then skipped by default instead of refused.
        in_place, backup : bool
            See `OutputOptions`.

        Raises
        ------
        UsageError
            A value is out of its range.
        """
        return DenoiseOptions(
            task=task,
            scale=scale,
            tile=self.tile,
            model=ModelOptions(
                name=self.model,
                device=self.device,
                precision=self.precision,
                backend=self.backend,
                blind=self.blind,
                coarse_chroma=self.coarse_chroma,
            ),
            blend=common_flags.blend_options(self.strength, self.luma, self.chroma, self.noise),
            raw=RawOptions(white_balance=self.raw_wb.value, exposure=self.raw_exposure),
            output=OutputOptions(
                format=self.format,
                quality=self.quality,
                keep_metadata=not self.no_metadata,
                if_exists=self.if_exists or (IfExists.SKIP if many else IfExists.FAIL),
                in_place=in_place,
                backup=backup,
                preserve=self.preserve,
                stamp=not (self.no_stamp or self.no_metadata),
                check_fidelity=not self.no_fidelity_check,
            ),
        )
