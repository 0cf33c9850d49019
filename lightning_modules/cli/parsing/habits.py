"""What other trainers call an option, and what it is here."""

from __future__ import annotations

_STEPS = "--trainer.max_steps"
_EPOCHS = f"{_STEPS}? A run's length is counted in steps of data.batch_size images."
_RATE = "--model.optimizer.learning_rate"
_RESUME = "nothing: the same command goes on where it was. --run names another run, --fresh starts one"
_OUT = "--trainer.default_root_dir? Runs are <experiment>/<start time> in it; --experiment names the first."
_ROOT = "--data.root"
_DEVICES = "--trainer.devices? --trainer.accelerator says of which kind; GPUs are found without either."
_HALF = "--trainer.precision bf16-mixed (or 16-mixed)"
_LOGS = "nothing: a run has its TensorBoard in it (tensorboard --logdir runs). --trainer.logger takes others"
_NETWORK = "--model DiTDiffusion or --model UNetDiffusion"
_SAVE = "--checkpoint.every_n_steps"
_PICTURES = "--sample_grid.every_n_steps"
_CLASSES = "nothing: sub-folders are classes. --data.class_labels false trains without"

_BY_ANSWER = {
    _EPOCHS: "epochs max_epochs num_epochs n_epochs num_train_epochs total_epochs trainer.epochs",
    _STEPS: "steps num_steps total_steps max_train_steps train_num_steps train_steps iters iterations "
    "max_iters num_iterations total_iters lr_anneal_steps",
    _RATE: "lr learning_rate base_lr train_lr initial_lr optimizer.lr model.lr model.learning_rate",
    "--model.optimizer.weight_decay": "weight_decay wd adam_weight_decay",
    "--model.optimizer.betas": "betas beta1 beta2 adam_beta1 adam_beta2",
    "--learning_rate.warm_up": "warmup warmup_steps lr_warmup_steps num_warmup_steps",
    "--learning_rate.cool_down": "lr_scheduler scheduler cooldown decay_steps lr_decay",
    "--data.batch_size": "batch_size train_batch_size batch bs global_batch_size per_device_train_batch_size",
    _RESUME: "resume resume_from resume_from_checkpoint resume_checkpoint ckpt ckpt_path checkpoint "
    "checkpoint_path continue load pretrained",
    _OUT: "output_dir output out out_dir outdir save_dir results_dir results_folder result_dir work_dir "
    "logdir log_dir logging_dir",
    "--experiment": "name exp exp_name experiment_name run_name project project_name",
    _ROOT: "data_dir data_path data_root dataset dataset_dir dataset_name dataset_path train_dir train_path "
    "train_data_dir image_dir image_folder images folder instance_data_dir path data",
    "--data.image_size": "image_size img_size imsize size resolution",
    _DEVICES: "gpus gpu gpu_ids n_gpu n_gpus num_gpus devices device cuda cpu",
    "--data.workers": "num_workers workers n_workers dataloader_num_workers num_cpu",
    _HALF: "fp16 bf16 amp half mixed_precision use_fp16 precision autocast",
    _LOGS: "wandb use_wandb report_to wandb_project tensorboard tb",
    "--seed_everything": "seed random_seed manual_seed",
    "--ema.decay": "ema ema_decay ema_rate use_ema ema_beta",
    "--trainer.accumulate_grad_batches": "gradient_accumulation_steps gradient_accumulate_every "
    "grad_accumulation accumulation_steps accumulate grad_accum",
    "--trainer.gradient_clip_val": "grad_clip max_grad_norm clip_grad clip_grad_norm gradient_clipping clip",
    "--trainer.log_every_n_steps": "log_interval log_every log_freq logging_steps",
    _SAVE: "save_interval save_every save_steps save_freq checkpointing_steps ckpt_every snap",
    "--checkpoint.keep_last": "checkpoints_total_limit save_total_limit keep",
    _PICTURES: "sample_every sample_interval save_images_epochs save_and_sample_every sample_freq",
    "--evaluation.every_n_steps": "fid eval_every eval_steps eval_interval evaluation_steps metrics",
    "--trainer.val_check_interval": "val_every val_interval validation_steps val_freq",
    "--data.val_fraction": "val_split validation_split val_ratio test_size",
    _CLASSES: "class_cond class_conditional cond num_classes use_labels",
    "--model.cond_dropout": "uncond_prob p_uncond class_dropout_prob",
    "--data.flip": "random_flip mirror hflip augment_horizontal_flip xflip",
    "--data.crop": "center_crop random_crop",
    _NETWORK: "arch network backbone architecture net model_type model_name unet dit",
    "--model.network.dropout": "dropout",
    "--trainer.max_time": "max_time max_hours time_limit",
    "--fast-dev-run": "fast_dev_run debug dry_run smoke_test test",
    "--fresh": "overwrite force restart new from_scratch",
    "--allow-mismatch": "allow_mismatch strict",
    "--progress_bar.refresh_rate 0": "quiet silent no_progress_bar disable_tqdm",
    "--help": "usage options",
}

HABITS = {name: answer for answer, names in _BY_ANSWER.items() for name in names.split()}
"""What to give in place of an option's name, dashes as underscores."""


def answer(name: str) -> str | None:
    """Return what is said of an option that other trainers have, or None if it is no such option.

    Args:
        name: The option without the dashes before it.
    """
    meant = HABITS.get(name.replace("-", "_").lower())
    if meant is None:
        return None
    if meant.startswith("nothing: "):
        return f"--{name} is not an option, nor needed: {meant.removeprefix('nothing: ')}."
    return f"--{name} is not an option. Did you mean {meant}{'' if '?' in meant else '?'}"


def folder_answer(folder: str) -> str:
    """Return what is said of a folder, or anything, that stands without an option."""
    return f"'{folder}' stands without an option. A folder of images is given with --data.root {folder}."
