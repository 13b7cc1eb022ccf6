"""Local search on ten classes of digits, with ternary weights: a classifier of about a kilobyte."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from bdnn import BDNNClassifier

X, y = load_digits(return_X_y=True)  # 8 x 8 pixels, integers from 0 to 16
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)

# more than two classes: the largest of ten outputs wins; weights are -1, 0 or 1, biases are integers.
# A quarter of the training rows is held out to choose among the networks that the search finds.
clf = BDNNClassifier(
    hidden_layer_sizes=(50,),
    method="local_search",
    weights="integer",
    validation_fraction=0.25,
    time_limit=6,
    random_state=0,
).fit(X_train, y_train)

network = clf.network_
print(f"layers {' -> '.join(map(str, (network.n_features, *network.widths)))}, head {network.head}")
print(f"{network.n_parameters} integers in {network.size_bytes} bytes")
print(f"accuracy: training {clf.score(X_train, y_train):.3f}, test {clf.score(X_test, y_test):.3f}")

# what the hidden neurons see of the first test image: one bit each
fired = network.activations(X_test[:1])[0][0]
print(f"{y_test[0]} is seen as {''.join(map(str, fired))}")
