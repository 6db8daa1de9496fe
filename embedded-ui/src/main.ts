// Starts the UI: styles, then the one component that holds everything.
import { mount } from 'svelte';
import App from './App.svelte';
import './styles/tokens.css';
import './styles/base.css';
import './styles/code.css';

const target = document.getElementById('app');
if (target) mount(App, { target });
