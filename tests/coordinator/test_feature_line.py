from distmerge.coordinator import FeatureKey, FeatureLine


def test_a_line_says_how_far_features_are_in_words_and_numbers() -> None:
    line = FeatureLine.of(2, 5, FeatureKey("alpha", "beta", "adapt", ""))
    assert line == "features 2/5: alpha on adapt samples of beta"
    assert (line.done, line.total) == (2, 5)
