"""Several extractors on one machine neither claim all of it each, nor leave any of it unused."""

from __future__ import annotations

import pytest

from mistudio_client.embedded.sharing import extractor_names, gpus, shares


def test_a_single_extractor_keeps_its_name_and_has_the_machine() -> None:
    assert extractor_names(1) == ["extractor"]
    assert shares(1, {}, cores=8, devices=["0", "1"]) == [{}]


def test_processors_and_budget_are_divided() -> None:
    each = {"GPU_MEMORY_LIMIT_GB": "2", "TORCH_NUM_THREADS": "2"}
    assert extractor_names(3) == ["extractor", "extractor-2", "extractor-3"]
    assert shares(3, {}, cores=8, devices=[]) == [each] * 3


def test_there_is_a_thread_for_each_however_few_processors() -> None:
    assert {part["TORCH_NUM_THREADS"] for part in shares(4, {}, cores=2, devices=[])} == {"1"}


@pytest.mark.parametrize("variable", ["TORCH_NUM_THREADS", "OMP_NUM_THREADS"])
def test_threads_that_the_user_chose_stay(variable: str) -> None:
    told = shares(2, {variable: "3", "GPU_MEMORY_LIMIT_GB": "5"}, cores=8, devices=[])
    assert told == [{"GPU_MEMORY_LIMIT_GB": "2.5"}] * 2


def test_each_takes_a_gpu_with_all_of_its_budget() -> None:
    told = shares(2, {"GPU_MEMORY_LIMIT_GB": "40"}, cores=8, devices=["0", "1", "2"])
    assert told == [
        {"CUDA_VISIBLE_DEVICES": "0", "GPU_MEMORY_LIMIT_GB": "40"},
        {"CUDA_VISIBLE_DEVICES": "1", "GPU_MEMORY_LIMIT_GB": "40"},
    ]


def test_those_on_one_gpu_divide_its_budget() -> None:
    told = shares(3, {}, cores=8, devices=["0", "1"])
    assert [part["CUDA_VISIBLE_DEVICES"] for part in told] == ["0", "1", "0"]
    assert [part["GPU_MEMORY_LIMIT_GB"] for part in told] == ["3", "6", "3"]


def test_the_users_choice_of_devices_counts() -> None:
    assert gpus({"CUDA_VISIBLE_DEVICES": "2,GPU-8932f937"}) == ["2", "GPU-8932f937"]
    assert gpus({"CUDA_VISIBLE_DEVICES": ""}) == []
    assert gpus({"CUDA_VISIBLE_DEVICES": "0", "MISTUDIO_DEVICE": "cpu"}) == []
